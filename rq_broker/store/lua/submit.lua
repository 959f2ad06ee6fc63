--- Put a new job in line.
--- Keeps: request_id and callback are unique in the type; a refused submit leaves nothing behind.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] owner_id
--- ARGV[3] callback digest (16 characters, keys.digest)
--- ARGV[4] priority, or '' for the next tick of the type's clock
--- ARGV[5] shape digest
--- ARGV[6] what the shape stands for, canonical JSON
--- ARGV[7…] field/value pairs of the job, folded: callback and data
--- Returns {id, created (µs since 1970), priority, position (1 = next), number of the last change
---   of capacity}
--- Errors DUPLICATE_REQUEST_ID, DUPLICATE_CALLBACK
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "callback"

local request_id, owner_id, callback = ARGV[1], ARGV[2], ARGV[3]
local priority, shape, demand = ARGV[4], ARGV[5], ARGV[6]

-- The zero of default priorities: 2018-07-26T05:51:00.621743Z, the original service's own.
local EPOCH_US = 1532584260621743

local name = job_key(request_id)
if redis.call('EXISTS', name) == 1 then
  return redis.error_reply('DUPLICATE_REQUEST_ID request_id is taken in this type')
end
local bucket, rest = callback_entry(callback)
if redis.call('HSETNX', bucket, rest, request_id) == 0 then
  return redis.error_reply('DUPLICATE_CALLBACK callback is taken in this type')
end

local created = now_us()
local counters = redis.call('HMGET', base, 'id', 'clock', 'capacity_number')
local id = whole((counters[1] or 0) + 1)
if priority == '' then
  priority = whole(math.max(created - EPOCH_US, (counters[2] or -1) + 1))
  redis.call('HSET', base, 'id', id, 'clock', priority)
else
  redis.call('HSET', base, 'id', id)
end
local member = member_of(id, request_id)
created = whole(created)
redis.call('HSET', name, 'id', id, 'owner', owner_id, 'status', 'queued', 'shape', shape,
  'created', created, unpack(ARGV, 7))
redis.call('ZADD', key('owner:' .. owner_id), priority, member)
join_line(member, priority, shape, demand)
record_event(request_id, id, 'queued')
local position = redis.call('ZRANK', key('status:queued'), member) + 1
return { id, created, priority, position, counters[3] or '0' }
