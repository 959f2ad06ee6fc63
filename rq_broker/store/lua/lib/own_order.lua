--- The order of one owner's waiting jobs. They exchange the places that they have in the queue, so that no
--- job of another owner comes earlier or later: a place is a priority that one job has.
--- @include "base"
--- @include "job"
--- @include "policy"
--- @include "priority"
--- @include "rank"

-- Returns the owner's waiting jobs between two priorities, both included, in the order of the queue; nil
-- where more would have to be read than a move may shift.
local function own_waiting(owner, least, most)
  local set = key('owner:' .. owner)
  if redis.call('ZCOUNT', set, least, most) > MAX_MOVES then
    return nil
  end
  local waiting = {}
  local entries = redis.call('ZRANGEBYSCORE', set, least, most, 'WITHSCORES')
  for i = 1, #entries, 2 do
    if redis.call('ZSCORE', key('status:queued'), entries[i]) then
      waiting[#waiting + 1] = { member = entries[i], priority = tonumber(entries[i + 1]) }
    end
  end
  return waiting
end

-- Returns the priorities between which the job moves: its own, and that of the place it wants, which is none
-- before the first job of the queue or after its last.
local function span_of(job, mode, target)
  local queue = key('status:queued')
  local first = tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2])
  local last = tonumber(redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2])
  local wanted
  if mode == 'position' then
    wanted = target == 'front' and first or last
  else
    wanted = math.min(math.max(tonumber(mode == 'priority' and target or target.priority), first), last)
  end
  local own = tonumber(job.priority)
  return math.min(own, wanted), math.max(own, wanted)
end

-- Returns whether a job stands behind a place, see lib/line_version.
local function is_behind_place(entry, place)
  local priority, id = tonumber(place.priority), id_of(entry.member)
  return entry.priority > priority
    or (entry.priority == priority and (id > place.id or (place.side == 'b' and id == place.id)))
end

-- Returns which of the waiting jobs, without the job itself, are to go before it.
local function count_before(waiting, job, mode, target)
  if mode == 'position' then
    return target == 'front' and 0 or #waiting
  end
  for i, entry in ipairs(waiting) do
    if mode == 'place' and is_behind_place(entry, target) then
      return i - 1
    end
    if (mode == 'before' or mode == 'after') and entry.member == target.member then
      return mode == 'before' and i - 1 or i
    end
    local is_behind = mode == 'priority' and (entry.priority > tonumber(target)
      or (entry.priority == tonumber(target) and entry.member > job.member))
    if is_behind then
      return i - 1
    end
  end
  return #waiting
end

-- Returns the jobs in the order that is wanted.
local function in_order(waiting, job, mode, target)
  local ordered = {}
  for _, entry in ipairs(waiting) do
    if entry.member ~= job.member then
      ordered[#ordered + 1] = entry
    end
  end
  table.insert(ordered, count_before(ordered, job, mode, target) + 1,
    { member = job.member, priority = tonumber(job.priority) })
  return ordered
end

-- Returns whether jobs of others have a priority between two of the owner's places, both included. It is called
-- with places that only grow: `counted` keeps how many of the owner's jobs come before them.
local function has_others(waiting, counted, from, to)
  while waiting[counted.below + 1] and waiting[counted.below + 1].priority < from do
    counted.below = counted.below + 1
  end
  while waiting[counted.up_to + 1] and waiting[counted.up_to + 1].priority <= to do
    counted.up_to = counted.up_to + 1
  end
  return redis.call('ZCOUNT', key('status:queued'), whole(from), whole(to)) ~= counted.up_to - counted.below
end

-- Returns the moves, see lib/priority, that put a job elsewhere among its owner's; or nil and the refusal; and the
-- jobs between the two places, in the order that they have, and in that which is wanted. Writes nothing.
-- `target`: the priority; the neighbour; the place, see lib/line_version; or 'front' or 'back'.
local function own_moves(job, mode, target)
  if policy_value('own_order') ~= '1' then
    return nil, redis.error_reply('FORBIDDEN the order of jobs is not for their clients to change in this type')
  end
  local least, most = span_of(job, mode, target)
  local waiting = own_waiting(job.owner, whole(least), whole(most))
  if not waiting then
    return nil, redis.error_reply('PRIORITY_EXHAUSTED more than ' .. MAX_MOVES
      .. ' jobs of the owner are between the two places; move it in several steps')
  end
  -- Each job gets the next place. Jobs of equal priority, as those of an array, go by the time of the submit:
  -- where that is not the order that is wanted, a place is the next number, if no other owner's job is in between.
  local moves, counted, last = {}, { below = 0, up_to = 0 }, { priority = -math.huge, member = '' }
  local ordered = in_order(waiting, job, mode, target)
  for i, entry in ipairs(ordered) do
    local place = waiting[i].priority
    local is_before_last = place < last.priority or (place == last.priority and entry.member < last.member)
    local priority = is_before_last and last.priority + 1 or place
    local is_changed = entry.member ~= waiting[i].member or priority ~= place
    if priority > LIMIT or (is_changed and has_others(waiting, counted, place, priority)) then
      return nil, redis.error_reply('PRIORITY_EXHAUSTED jobs of others have the same priority, or the next one;'
        .. ' an operator can make room')
    end
    if entry.priority ~= priority then
      moves[#moves + 1] = { member = entry.member, priority = priority, from = entry.priority }
    end
    last = { priority = priority, member = entry.member }
  end
  return moves, nil, waiting, ordered
end
