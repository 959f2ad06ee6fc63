--- Report that a process remembers more of the type than Redis has: its state went back, or is gone.
--- Keeps: IDs and fences continue above all that any process remembers; a loss is told once; what
---   grants of a lost life were named no grant of a later one is named.
--- KEYS[1] base
--- ARGV
---   incarnation  string   the life of the state that the process knew
---   id           integer  the highest ID that it knows of that life, 0 for none
---   fence        integer  the highest fence likewise
--- Returns
---   is_new       flag     whether nobody has reported this loss before
---   incarnation  string   the life of the state now
---   id           integer  the highest ID that Redis had
---   fence        integer  the highest fence likewise
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "incarnation"
--- @include "wake"

local MOST_RECORDS = 200 -- lives kept in `lost`: more only where Redis loses its state every day

local stored = redis.call('HMGET', base, 'incarnation', 'id', 'fence')
local current, id_there, fence_there = stored[1] or '', number_of(stored[2], 0), number_of(stored[3], 0)
local record = redis.call('HGET', key('lost'), incarnation)
local has_all = id_there >= id and fence_there >= fence
if has_all and (current == incarnation or record) then
  return reply({ is_new = false, incarnation = current, id = id_there, fence = fence_there })
end

-- 1. IDs and fences continue above all that is remembered.
redis.call('HSET', base, 'id', whole(math.max(id, id_there)), 'fence', whole(math.max(fence, fence_there)))

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
