--- Put a new job in line.
--- Keeps: request_id and callback are unique in the type; a refused submit leaves nothing behind.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] owner_id
--- ARGV[3] callback digest (16 characters, keys.digest)
--- ARGV[4] priority, or '' for the next tick of the type's clock
--- ARGV[5] shape digest
--- ARGV[6] the shape, canonical JSON
--- ARGV[7…] field/value pairs of the job, folded: callback and data
--- Returns {id, created (µs since 1970), priority}
--- Errors DUPLICATE_REQUEST_ID, DUPLICATE_CALLBACK
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "forget"

local request_id, owner_id, callback = ARGV[1], ARGV[2], ARGV[3]
local priority, shape, canonical = ARGV[4], ARGV[5], ARGV[6]

-- The zero of default priorities: 2018-07-26T05:51:00.621743Z, the original service's own.
local EPOCH_US = 1532584260621743

local name = job_key(request_id)
if redis.call('EXISTS', name) == 1 then
  return redis.error_reply('DUPLICATE_REQUEST_ID request_id is taken in this type')
end
local bucket, rest = callback_entry(callback)
if redis.call('HEXISTS', bucket, rest) == 1 then
  return redis.error_reply('DUPLICATE_CALLBACK callback is taken in this type')
end

local created = now_us()
if priority == '' then
  local clock = tonumber(redis.call('HGET', base, 'clock') or '-1')
  priority = whole(math.max(created - EPOCH_US, clock + 1))
  redis.call('HSET', base, 'clock', priority)
end
local id = redis.call('HINCRBY', base, 'id', 1)
local member = string.format('%016.0f', id) .. ':' .. request_id
created = whole(created)
redis.call('HSET', name, 'id', id, 'owner', owner_id, 'status', 'queued', 'shape', shape,
  'created', created, unpack(ARGV, 7))
redis.call('HSET', bucket, rest, request_id)
redis.call('ZADD', key('owner:' .. owner_id), priority, member)
redis.call('HSETNX', key('shapes'), shape, canonical)
join_line(member, priority, shape)
record_event(request_id, id, 'queued')
return { whole(id), created, priority }
