--- Hold capacity for one waiting job, and schedule its callback; that of a job without callback is an offer.
--- Keeps: held never exceeds capacity - used, and each instance is one that a host's max_unit,
---   min_unit and step_size allow, of one device or of several whole ones where the host has devices,
---   whatever the plan assumed; a host's aggregates and traits are those
---   that the plan read; a job is granted once, and as one of the choices that its shape leaves.
--- KEYS[1] base
--- ARGV
---   request_id     string    the client's name for the job
---   id             decimal   ID of the job planned for
---   priority       integer   its priority in the plan
---   instances      string    the host of each instance, a JSON array
---   destination    string    the destination of its callback; 'offer' if it has none
---   policy_number  decimal   number of the policy that the plan obeys
---   predicted      decimal   how long it is predicted to hold, ms
---   predicted_from string    what the prediction rests on, in a word
---   demand_key     string    digest of its demand, to keep with its holding time when it ends
---   size           decimal   its size class, to keep likewise
---   devices        string?   the devices of each instance, a JSON array; given if there are any
---   shape          string?   digest of the shape planned for; given if that leaves a choice to the grant,
---                            which of its alternatives or how many instances
---   alternative    decimal?  which of the job's alternatives it is, 0 = the first; given if it has any
---   caps           amounts   resource to the most that the job's owner may hold
---   hosts          rows      what the job holds of each host, every host once
---     host         string    its name
---     aggregates   string?   the text of its field `aggregates` that the plan read; given if the
---                          job needs an aggregate
---     with_traits  flag      the job or an instance names traits
---     traits       string    the text of its field `traits` that the plan read; then only
---     anywhere     flag      whether the plan took it for one capacity of the whole type
---     amounts      amounts   resource, or device, to the amount held, all instances together
---     largest      amounts   resource to the largest amount of one instance; empty if the host is
---                            to have one instance only, and none of its devices
---     smallest     amounts   resource to the smallest amount of one instance; empty likewise
---     divisor      amounts   resource to the greatest common divisor of these; empty likewise
---     whole        strings   the devices of which an instance has several, and so all of each
--- Returns
---   fence          integer?  fence of the grant; not given if the grant is refused
---   refusal        string?   why: 'PAUSED'; 'MOVED', when queue or policy changed since the plan;
---                            'CLOSED', by its receiver's breaker or wish; 'LATE' and 'BEHIND', by
---                            callbacks that wait, see lib/backlog; 'CAPPED'; 'AT_ONCE', when as many jobs of its
---                            array hold as may; 'FULL'
--- Errors none
--- @include "become"
--- @include "destination"
--- @include "backlog"
--- @include "serial"
--- @include "grant_counters"
--- @include "incarnation"

-- 1. The plan is of the queue and the policy as they are now.
read_policy({ 'paused', 'offer', 'share', 'concurrency' })
if policy_value('paused') == '1' then
  return reply({ fence = nil, refusal = 'PAUSED' })
end
local job = load_job(request_id)
if not job or job.id ~= id or job.status ~= 'queued' or tonumber(job.priority) ~= priority then
  return reply({ fence = nil, refusal = 'MOVED' })
end
if shape and job.shape ~= shape then -- what was chosen may be none of the job's choices now
  return reply({ fence = nil, refusal = 'MOVED' })
end
if (redis.call('HGET', base, 'policy_number') or '0') ~= policy_number then
  return reply({ fence = nil, refusal = 'MOVED' })
end

-- 2. The destination takes callbacks, or its owner offers. While the breaker is half-open, this job is its probe.
local now = now_ms()
local receiver = receiver_of(destination, job.owner)
local record = read_receiver(receiver)
if is_closed_to_grants(record, now) then
  return reply({ fence = nil, refusal = 'CLOSED' })
end
local waits_for_callbacks = refuse_grant(receiver, record.prompt, now)
if waits_for_callbacks then
  return reply({ fence = nil, refusal = waits_for_callbacks })
end

-- 3. The owner stays within its limits.
local amounts = {}
for _, row in ipairs(hosts) do
  for name, amount in pairs(row.amounts) do
    local resource = resource_of(name)
    amounts[resource] = (amounts[resource] or 0) + amount
  end
end
for resource, cap in pairs(caps) do
  local usage = number_of(redis.call('HGET', key('usage'), resource .. '/' .. job.owner) or '0')
  if not usage or usage + (amounts[resource] or 0) > cap then
    return reply({ fence = nil, refusal = 'CAPPED' })
  end
end

-- 4. No more jobs of its array hold than may at a time.
if is_array_full(job) then
  return reply({ fence = nil, refusal = 'AT_ONCE' })
end

-- 5. Every host is in service, is in the aggregates and has the traits that the plan read, and has room.
local function is_as_planned(row)
  if not row.with_traits and not row.anywhere then
    return true
  end
  local fields = redis.call('HMGET', key('host:' .. row.host), 'traits', 'anywhere')
  return (not row.with_traits or row.traits == (fields[1] or '')) and (not row.anywhere or fields[2])
end

-- `name`: a resource, or a device. A host has no capacity of a resource that it has in devices.
local function has_room(row, name, amount)
  local resource = resource_of(name)
  local fields = redis.call('HMGET', key('host:' .. row.host), 'aggregates', 'dropped',
    'capacity:' .. name, 'used:' .. name, 'held:' .. name, 'max_unit:' .. resource, 'min_unit:' .. resource,
    'step_size:' .. resource, 'mixed')
  local is_in_service = fields[1] and not fields[2]
  if not is_in_service or (row.aggregates and row.aggregates ~= fields[1]) then
    return false
  end
  local capacity, used, held = number_of(fields[3] or '0'), number_of(fields[4] or '0'), number_of(fields[5] or '0')
  local is_damaged = not (capacity and used and held)
  held = held_against(row.host, name, held, fields[9])
  local step = number_of(fields[8], 1)
  return not is_damaged and amount <= capacity - used - held
    and (row.largest[resource] or amount) <= number_of(fields[6], math.huge)
    and (row.smallest[resource] or amount) >= number_of(fields[7], 0)
    and (step <= 1 or (row.divisor[resource] or amount) % step == 0)
end

-- Returns whether each device of which an instance has several is as large as what the instance has of it.
local function is_whole(row)
  for _, name in ipairs(row.whole) do
    if number_of(redis.call('HGET', key('host:' .. row.host), 'capacity:' .. name), 0) ~= row.amounts[name] then
      return false
    end
  end
  return true
end

-- A job without resources needs the host as well.
local function fits(row)
  local is_checked = false
  for resource, amount in pairs(row.amounts) do
    if not has_room(row, resource, amount) then
      return false
    end
    is_checked = true
  end
  return is_as_planned(row) and is_whole(row) and (is_checked or has_room(row, '', 0))
end

for _, row in ipairs(hosts) do
  if not fits(row) then
    return reply({ fence = nil, refusal = 'FULL' })
  end
end

-- 6. Read what the writes below need, so that none of them can fail.
local counts, waited = counts_of_grant(job, size, redis.call('HGET', key('forecasts'), job.member), now)
local offer, fence = policy_number_of('offer'), next_serial('fence')
local incarnation, counters = add_counts(counts)
incarnation = incarnation or new_incarnation()

-- 7. Hold the capacity. Nothing is written before this line.
if is_half_open(record, now) then
  redis.call('HSET', destination_key(receiver), 'probe', request_id)
end
hold(job, hosts)

-- 8. Give the job its fence and its hosts, and schedule its callback, if it has one. The first write counts its
-- wait, too.
redis.call('HSET', base, 'fence', fence, 'incarnation', incarnation, unpack(counters))
job.alternative = alternative
job.counts = { waited = whole(waited), size = size, amounts = amounts_text(amounts) }
local changes = {
  'fence', fence,
  'incarnation', incarnation,
  'hosts', instances,
  'attempts', '0',
  'granted', whole(now),
  'destination', destination,
  'offer_ends', offer and whole(now + offer) or '',
  'predicted', predicted,
  'predicted_from', predicted_from,
  'demand_key', demand_key,
  'size', size,
}
if devices then
  changes[#changes + 1], changes[#changes + 2] = 'devices', devices
end
if alternative then
  changes[#changes + 1], changes[#changes + 2] = 'alternative', alternative
end
become(job, 'granted', changes)
if destination ~= OFFER then
  schedule_first(job.member, record, now)
  wake('deliver')
end
count_uncalled(job.member, receiver, record.prompt, now, FORGET_MS)
redis.call('ZADD', key('destinations'), whole(now), receiver)
redis.call('SADD', key('owners:' .. destination), job.owner)
return reply({ fence = fence, refusal = nil })
