--- Whether a move does what its caller saw, see lib/line_version; it is refused otherwise.
--- Keeps: since that version no job came to where the moved one passes it, and neither the moved job nor the one that
---   it is put beside was moved. What left the line, came behind, or moved elsewhere is no reason to refuse.
--- @include "base"
--- @include "job"
--- @include "rank"
--- @include "line_version"

local MOST_EVENTS = 5000 -- read for one move, some 5 ms: six minutes of a type with 10,000 submits an hour

-- Words of events after which a job is in the line no more, and those that change no place.
local LEFT = { granted = true, running = true, done = true, error = true, deleted = true, beside = true }
local STAYED = { expected = true, expiring = true, offer_missed = true, hold_lost = true, hold_regained = true }

local function changed_meanwhile(why)
  return redis.error_reply('CHANGED_MEANWHILE the line changed meanwhile: ' .. why)
end

-- Returns the ranks of the jobs that an event says are in the line, the first and the last; nil for none.
local function ranks_in(queue, name, id)
  local array = string.match(name, '^(.+)%[%*%]$')
  if not array then
    local rank = redis.call('ZRANK', queue, member_of(id, name))
    return rank, rank
  end
  local priority = redis.pcall('HGET', key('array:' .. array), 'priority')
  if not tonumber(priority) then
    return nil
  end
  return redis.call('ZCOUNT', queue, '-inf', '(' .. priority), redis.call('ZCOUNT', queue, '-inf', priority) - 1
end

-- Returns the events since a version; or nil and the refusal.
local function events_since(seen)
  if not seen or seen.shifts ~= (redis.call('HGET', base, 'shifts') or '0') then
    return nil, changed_meanwhile('jobs exchanged their places, or made room for another')
  end
  local is_first = seen.event == '0-0'
  local events = redis.pcall('XRANGE', key('events'), is_first and '-' or seen.event, '+', 'COUNT', MOST_EVENTS + 1)
  local is_there = is_first or (events[1] and events[1][1] == seen.event)
  if events.err or not is_there or #events > MOST_EVENTS then
    return nil, changed_meanwhile('too much happened since')
  end
  if not is_first then
    table.remove(events, 1)
  end
  return events
end

-- Returns the refusal of a move that its caller did not see so, nil if it need not be refused.
-- `move`: the `job`, its `neighbour` if it has one, the ranks `first` to `last` of those that it passes; the `owner`
-- whose jobs alone it passes, nil for every owner's; and `counted`, the rank up to which no job may have left
-- either, nil where that does not matter.
local function refuse_changed_line(seen, move)
  local queue, counted = key('status:queued'), move.counted or -1
  local events, refusal = events_since(seen)
  if refusal then
    return refusal
  end
  local is_checked = {}
  for _, event in ipairs(events) do
    local flat = event[2] -- the fields of record_event, in their order
    local name, id, word, from, owner = flat[2], flat[4], flat[6], flat[8], flat[10]
    if name == '' then
      if word == 'state_lost' then
        return changed_meanwhile('Redis lost some of it')
      end
    elseif counted >= 0 and from == 'queued' and (LEFT[word] or word == 'reordered') then
      local job = LEFT[word] and load_job(name)
      if not job or tonumber(job.id) ~= tonumber(id) or rank_after(queue, job.priority, tonumber(id)) <= counted then
        return changed_meanwhile('a job before that place left it')
      end
    end
    if name ~= '' and not LEFT[word] and not STAYED[word] and not is_checked[name] then
      is_checked[name] = true
      if name == move.job.request_id then
        return changed_meanwhile('the job itself was moved')
      elseif move.neighbour and name == move.neighbour.request_id then
        return changed_meanwhile('the job beside which it goes was moved')
      end
      local from_rank, to_rank = ranks_in(queue, name, id)
      local is_passed = from_rank and from_rank <= move.last and to_rank >= move.first
        and (not move.owner or owner == move.owner)
      if is_passed or (from_rank and from_rank <= counted) then
        return changed_meanwhile('another job came in between')
      end
    end
  end
end
