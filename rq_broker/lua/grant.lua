--- Hold capacity for one waiting job and owe its callback.
--- Keeps: held never exceeds capacity - used; a job is granted once; whatever the planner believed.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] ID planned for
--- ARGV[3] priority planned at
--- ARGV[4] JSON array: the host of each instance
--- ARGV[5] JSON string: the aggregate every host must be in, or ''
--- ARGV[6…] host, resource, amount triples, each host and resource once
--- Returns the fence; or why not: 'PAUSED', 'MOVED' (not queued there any more), 'FULL'
--- Errors none
--- @include "become"

local request_id, id, priority, hosts, aggregate = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('HGET', base, 'policy:paused') == '1' then
  return 'PAUSED'
end
local job = load_job(request_id)
if not job or job.id ~= id or job.status ~= 'queued' or tonumber(job.priority) ~= tonumber(priority) then
  return 'MOVED'
end
for i = 6, #ARGV, 3 do
  local resource = ARGV[i + 1]
  local host = redis.call('HMGET', key('host:' .. ARGV[i]), 'capacity:' .. resource,
    'used:' .. resource, 'held:' .. resource, 'aggregates')
  local free = tonumber(host[1] or '0') - tonumber(host[2] or '0') - tonumber(host[3] or '0')
  local member_of = host[4] and (aggregate == '' or string.find(host[4], aggregate, 1, true))
  if not member_of or free < tonumber(ARGV[i + 2]) then
    return 'FULL'
  end
end

local touched = {}
for i = 6, #ARGV, 3 do
  hold(request_id, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  touched[ARGV[i]] = true
end
for host in pairs(touched) do
  touch_host(host)
end
local fence = whole(redis.call('HINCRBY', base, 'fence', 1))
become(job, 'granted', { 'fence', fence, 'hosts', hosts, 'attempts', '0' })
redis.call('ZADD', key('deliveries'), now_ms(), job.member)
wake('deliver')
return fence
