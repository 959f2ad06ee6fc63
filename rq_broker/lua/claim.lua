--- Take callbacks that are due, each for the length of a lease.
--- Keeps: a claimed delivery is nobody else's until its lease ends; a dead courier's falls due again.
--- KEYS[1] base
--- ARGV[1] lease, ms
--- ARGV[2] how many at most
--- Returns {ms until the next is due or '', {attempt, priority, request_id, field, value, …} a delivery}
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"

local lease, limit = ARGV[1], ARGV[2]

local deliveries, now = key('deliveries'), now_ms()
local reply = { '' }
for _, member in ipairs(redis.call('ZRANGEBYSCORE', deliveries, '-inf', whole(now), 'LIMIT', 0, limit)) do
  local request_id = request_id_of(member)
  local job = load_job(request_id)
  if not job or job.member ~= member or job.status ~= 'granted' then
    redis.call('ZREM', deliveries, member)
  else
    redis.call('ZADD', deliveries, whole(now + lease), member)
    local attempt = redis.call('HINCRBY', job_key(request_id), 'attempts', 1)
    local fields = redis.call('HGETALL', job_key(request_id))
    table.insert(fields, 1, request_id)
    table.insert(fields, 1, job.priority)
    table.insert(fields, 1, attempt)
    reply[#reply + 1] = fields
  end
end
local first = redis.call('ZRANGE', deliveries, 0, 0, 'WITHSCORES')
if first[1] then
  local wait = math.max(0, first[2] - now)
  reply[1] = whole(wait)
  if wait == 0 then
    wake('deliver')
  end
end
return reply
