--- Hold capacity for one waiting job and owe its callback.
--- Keeps: held never exceeds capacity - used, and no instance max_unit; a job is granted once; whatever
---   the planner believed.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] ID planned for
--- ARGV[3] priority planned at
--- ARGV[4] JSON array: the host of each instance
--- ARGV[5] JSON string: the aggregate every host must be in, or ''
--- ARGV[6] the destination its callback goes to
--- ARGV[7] the policy's number the plan obeyed
--- ARGV[8] how many cap pairs follow
--- ARGV[9…] resource, most the owner may hold; then host, resource, amount, the most of it that one
---   instance has; each host and resource once, and every host at least once, if need be with 0 and 0
--- Returns the fence; or why not: 'PAUSED', 'MOVED' (queue or policy is another by now), 'CAPPED', 'CLOSED'
---   (the destination's breaker), 'FULL'
--- Errors none
--- @include "become"
--- @include "destination"

local request_id, id, priority, hosts, aggregate = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local destination, policy_number, first = ARGV[6], ARGV[7], 9 + 2 * tonumber(ARGV[8])

-- Whether a JSON array of strings has this JSON string: no name can be mistaken for another.
local function lists(array, wanted)
  local first = 2
  while string.sub(array, first, first) == '"' do
    local last = first + 1
    while string.sub(array, last, last) ~= '"' do
      last = last + (string.sub(array, last, last) == '\\' and 2 or 1)
    end
    if string.sub(array, first, last) == wanted then
      return true
    end
    first = last + 2
  end
  return false
end

if redis.call('HGET', base, 'policy:paused') == '1' then
  return 'PAUSED'
end
local job = load_job(request_id)
if not job or job.id ~= id or job.status ~= 'queued' or tonumber(job.priority) ~= tonumber(priority) then
  return 'MOVED'
end
if (redis.call('HGET', base, 'policy_number') or '0') ~= policy_number then
  return 'MOVED'
end
local now = now_ms()
local probe = redis.call('ZSCORE', key('open'), destination)
if probe and is_closed_to_grants(destination, now) then
  return 'CLOSED'
end
local asked = {}
for i = first, #ARGV, 4 do
  asked[ARGV[i + 1]] = (asked[ARGV[i + 1]] or 0) + ARGV[i + 2]
end
for i = 9, first - 1, 2 do
  local holds = redis.call('HGET', key('usage'), ARGV[i] .. '/' .. job.owner) or '0'
  if holds + (asked[ARGV[i]] or 0) > tonumber(ARGV[i + 1]) then
    return 'CAPPED'
  end
end
for i = first, #ARGV, 4 do
  local resource = ARGV[i + 1]
  local host = redis.call('HMGET', key('host:' .. ARGV[i]), 'capacity:' .. resource,
    'used:' .. resource, 'held:' .. resource, 'aggregates', 'dropped', 'max_unit:' .. resource)
  local free = tonumber(host[1] or '0') - tonumber(host[2] or '0') - tonumber(host[3] or '0')
  local serves = host[4] and not host[5] and (aggregate == '' or lists(host[4], aggregate))
  local small = host[6] and tonumber(host[6]) < tonumber(ARGV[i + 3])
  if not serves or small or free < tonumber(ARGV[i + 2]) then
    return 'FULL'
  end
end
if probe then
  redis.call('HSET', destination_key(destination), 'probe', request_id)
end

local touched = {}
for i = first, #ARGV, 4 do
  hold(request_id, job.owner, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  touched[ARGV[i]] = true
end
for host in pairs(touched) do
  touch_host(host)
end
local promised = redis.call('HGET', key('forecasts'), job.member)
if promised then
  local kept = now <= tonumber(promised)
  redis.call('HINCRBY', base, kept and 'forecasts_kept' or 'forecasts_missed', 1)
end
local fence = whole(redis.call('HINCRBY', base, 'fence', 1))
local offer = policy_value('offer')
become(job, 'granted', { 'fence', fence, 'hosts', hosts, 'attempts', '0',
  'granted', whole(now), 'destination', destination,
  'offer_ends', offer == '' and '' or whole(now + offer) })
schedule_first(job.member, destination, now)
redis.call('ZADD', key('destinations'), whole(now), destination)
wake('deliver')
return fence
