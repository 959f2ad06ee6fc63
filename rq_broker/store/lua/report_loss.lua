--- Report that a process remembers more of the type than Redis has: its state went back, or is gone.
--- Keeps: IDs and fences continue above all that any process remembers; a loss is told once; what
---   grants of a lost life were named no grant of a later one is named.
--- KEYS[1] base
--- ARGV
---   incarnation  string   the life of the state that the process knew
---   id           integer  the highest ID that it knows of that life, 0 for none
---   fence        integer  the highest fence likewise
---   witness      rows     the newest submit or grant of that life that the process made; none if it made none
---     request_id string   of its job; the client's name for it, or its name in the type
---     owner      string   the job's owner
---     id         integer  the job's ID
---     fence      integer  fence of the grant, 0 of a submit
---     at         integer  when Redis carried it out, by its wall clock, µs since 1970; of a grant its fence
--- Returns
---   is_new       flag     whether nobody has reported this loss before
---   incarnation  string   the life of the state now
---   id           integer  the highest ID that Redis had
---   fence        integer  the highest fence likewise
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "incarnation"
--- @include "wake"

local MOST_RECORDS = 200 -- lives kept in `lost`: more only where Redis loses its state every day
local LATER_MS = 50 -- the entry of a write has an ID by so much later at most than the time of the write
local MOST_EVENTS = 10000 -- a stream of fewer entries was never trimmed, see lib/job

local stored = redis.call('HMGET', base, 'incarnation', 'id', 'fence')
local current, id_there, fence_there = stored[1] or '', number_of(stored[2], 0), number_of(stored[3], 0)
local record = redis.call('HGET', key('lost'), incarnation)

-- Returns whether the job has a write: true, false, or nil if that cannot be told from the job as it is now.
local function job_has(write)
  for _, name in ipairs({ write.request_id, write.owner .. '/' .. write.request_id }) do
    local job = redis.call('HMGET', job_key(name), 'id', 'fence')
    if tonumber(job[1] or '') == write.id then
      local fence = number_of(job[2], 0)
      if fence > write.fence and write.fence > 0 then
        return nil
      end
      return fence >= write.fence
    end
  end
end

local function is_event_of(write, entry)
  local fields, event = entry[2], { at = tonumber(string.match(entry[1], '^%d+')) }
  for i = 1, #fields, 2 do
    event[fields[i]] = fields[i + 1]
  end
  local is_its_kind = write.fence == 0 and event.from == ''
    or write.fence > 0 and event.status == 'granted' and event.at <= write.at / 1000 + LATER_MS
  return is_its_kind and tonumber(event.id) == write.id
    and string.sub(event.request_id, -#write.request_id) == write.request_id
end

-- Returns whether a write is missing; false also where that cannot be told, as all is over and forgotten.
local function is_missing(write)
  local has = job_has(write)
  if has ~= nil then
    return not has
  end
  local since = math.max(math.floor(write.at / 1000) - 1, 0)
  local entries = redis.call('XRANGE', key('events'), whole(since), '+', 'COUNT', MOST_EVENTS)
  for _, entry in ipairs(entries) do
    if is_event_of(write, entry) then
      return false
    end
  end
  local first = redis.call('XRANGE', key('events'), '-', '+', 'COUNT', 1)[1]
  local is_whole = redis.call('XLEN', key('events')) < MOST_EVENTS
    or tonumber(string.match(first[1], '^%d+')) < since
  return is_whole and #entries < MOST_EVENTS
end

-- What the number of a lost write names now is another's.
local next_id, next_fence = math.max(id, id_there), math.max(fence, fence_there)
local lost = witness[1] and (current == incarnation or not record) and is_missing(witness[1]) and witness[1]
if lost and lost.fence > 0 then
  fence_there = math.min(fence_there, lost.fence - 1)
elseif lost then
  id_there = math.min(id_there, lost.id - 1)
end
local has_all = id_there >= id and fence_there >= fence
if has_all and (current == incarnation or record) then
  return reply({ is_new = false, incarnation = current, id = id_there, fence = fence_there })
end

-- 1. IDs and fences continue above all that is remembered.
redis.call('HSET', base, 'id', whole(next_id), 'fence', whole(next_fence))

-- 2. Keep what is known of the loss.
local when, last_id, first_there, last_fence, first_fence = string.match(record or '',
  '^(%d+) (%d+) (%d+) (%d+) (%d+)')
local is_new = not when
redis.call('HSET', key('lost'), incarnation, table.concat({
  when or whole(now_ms()),
  whole(math.max(id, number_of(last_id, 0))), first_there or whole(id_there),
  whole(math.max(fence, number_of(last_fence, 0))), first_fence or whole(fence_there),
}, ' '))
if not is_new then
  return reply({ is_new = false, incarnation = current, id = id_there, fence = fence_there })
end

-- 3. Begin a new life. Readers of hosts and policy read them whole, as their numbers may come again.
local life = new_incarnation()
if redis.call('HLEN', key('lost')) > MOST_RECORDS then
  redis.call('DEL', key('lost'))
end
if current ~= '' and current ~= incarnation then
  redis.call('HSETNX', key('lost'), current, 'followed by ' .. life)
end
redis.call('HSET', base, 'incarnation', life, 'hosts_epoch', life, 'capacity_number', life, 'policy_number', life)
redis.call('XADD', key('events'), 'MAXLEN', '~', '10000', '*', 'request_id', '', 'id', '0', 'status', 'state_lost',
  'remembered', whole(id), 'there', whole(id_there))
wake('grant')
return reply({ is_new = true, incarnation = life, id = id_there, fence = fence_there })
