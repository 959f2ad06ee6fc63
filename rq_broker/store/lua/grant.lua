--- Hold capacity for waiting jobs, and claim their callbacks for the caller, or schedule them; the grant of a job
--- without callback is an offer.
--- Keeps: each job is granted, or refused, as if it were alone behind those before it in the call: whole or not at
---   all. held never exceeds capacity - used, and each instance is one that a host's max_unit,
---   min_unit and step_size allow, of one device or of several whole ones where the host has devices,
---   whatever the plan assumed; a host's aggregates and traits are those
---   that the plan read; a job is granted once, and as one of the choices that its shape leaves. What is claimed
---   goes by the rules of claim.lua.
--- KEYS[1] base
--- ARGV
---   policy_number    decimal   number of the policy that the plan obeys
---   lease            integer   how long a claim lasts, ms
---   limit            integer   how many callbacks to claim at most
---   unproven         integer   how many of these at most to destinations that are not prompt
---   grants           rows      a job to grant
---     request_id     string    the client's name for the job
---     id             decimal   ID of the job planned for
---     priority       integer   its priority in the plan
---     instances      string    the host of each instance, a JSON array
---     destination    string    the destination of its callback; 'offer' if it has none
---     predicted      decimal   how long it is predicted to hold, ms
---     predicted_from string    what the prediction rests on, in a word
---     demand_key     string    digest of its demand, to keep with its holding time when it ends
---     size           decimal   its size class, to keep likewise
---     devices        string?   the devices of each instance, a JSON array; given if there are any
---     shape          string?   digest of the shape planned for; given if that leaves a choice to the grant,
---                              which of its alternatives or how many instances
---     alternative    decimal?  which of the job's alternatives it is, 0 = the first; given if it has any
---     caps           amounts   resource to the most that the job's owner may hold
---   hosts            rows      what a job holds of a host; of each job every host once
---     grant          integer   which of the grants it is of, 1 = the first
---     host           string    its name
---     aggregates     string?   the text of its field `aggregates` that the plan read; given if the
---                              job needs an aggregate
---     with_traits    flag      the job or an instance names traits
---     traits         string    the text of its field `traits` that the plan read; then only
---     anywhere       flag      whether the plan took it for one capacity of the whole type
---     amounts        amounts   resource, or device, to the amount held, all instances together
---     largest        amounts   resource to the largest amount of one instance; empty if the host is
---                              to have one instance only, and none of its devices
---     smallest       amounts   resource to the smallest amount of one instance; empty likewise
---     divisor        amounts   resource to the greatest common divisor of these; empty likewise
---     whole          strings   the devices of which an instance has several, and so all of each
--- Returns
---   results          rows      of each grant, in order
---     fence          integer?  fence of the grant; not given if it is refused
---     refusal        string?   why: 'PAUSED'; 'MOVED', when queue or policy changed since the plan;
---                              'CLOSED', by its receiver's breaker or wish; 'LATE' and 'BEHIND', by
---                              callbacks that wait, see lib/backlog; 'CAPPED'; 'AT_ONCE', when as many jobs of its
---                              array hold as may; 'FULL'
---   deliveries       rows      a claimed callback, as of claim.lua
---     prompt         flag      whether its destination is prompt
---     attempt        integer   number of the attempt, 1
---     priority       decimal   the job's priority
---     request_id     string    the job's request_id
---     signing_keys   string    keys to sign it with, the newest first; '' for none
---     fields         fields    the job's hash
--- Errors none
--- @include "become"
--- @include "destination"
--- @include "claims"
--- @include "backlog"
--- @include "rooms"
--- @include "serial"
--- @include "grant_counters"
--- @include "incarnation"

for _, grant in ipairs(grants) do
  grant.hosts = {}
end
for _, row in ipairs(hosts) do
  local of_grant = grants[row.grant].hosts
  of_grant[#of_grant + 1] = row
end

-- What several grants read is read once. The tables below have it, and count what this call grants: that is written
-- once all grants are decided.
local current_number = read_policy({ 'paused', 'offer', 'share', 'concurrency' }, { 'policy_number' })[1] or '0'
local now = now_ms()
local taken = {} -- request_id → true
local receivers = {} -- by name, see read_once and lib/claims
local usage, given = {}, {} -- <resource>/<owner> → what the owner held before the call; and what the call gives it
local arrays = {} -- by name: how many of its jobs hold capacity
local late -- whether callbacks are late, once that was asked

-- The plan is of the queue and the policy as they are now.
local function refuse_as_moved(grant)
  local job = not taken[grant.request_id] and load_job(grant.request_id)
  if not job or job.id ~= grant.id or job.status ~= 'queued' or tonumber(job.priority) ~= grant.priority then
    return 'MOVED'
  end
  if grant.shape and job.shape ~= grant.shape then -- what was chosen may be none of the job's choices now
    return 'MOVED'
  end
  grant.job = job
  return current_number ~= policy_number and 'MOVED' or nil
end

-- Returns what is known of a receiver. `granted`: how many jobs are granted to it; `members`: those of them whose
-- callbacks are to be scheduled.
local function read_once(destination, owner)
  local name = receiver_of(destination, owner)
  if not receivers[name] then
    local record = read_receiver(name)
    local parked, uncalled = count_waiting_there(name, record.prompt)
    receivers[name] = {
      name = name, destination = destination, owner = owner, record = record, granted = 0, members = {},
      parked = parked, uncalled = uncalled, is_closed = is_closed_to_grants(record, now),
    }
  end
  return receivers[name]
end

local function is_late(destination)
  if destination == OFFER then
    return false
  elseif late == nil then
    late = are_callbacks_late(now)
  end
  return late
end

-- The destination takes callbacks, or its owner offers. While the breaker is half-open, one job is its probe.
local function refuse_for_receiver(grant)
  local receiver = read_once(grant.destination, grant.job.owner)
  grant.receiver = receiver
  if receiver.is_closed then
    return 'CLOSED'
  elseif is_late(grant.destination) then
    return 'LATE'
  elseif math.max(receiver.parked, receiver.uncalled) >= behind_limit() then
    receiver.is_behind = true
    return 'BEHIND'
  end
end

-- Returns what a job has of each resource, on all hosts and of all devices together.
local function sum_of(rows)
  local amounts = {}
  for _, row in ipairs(rows) do
    for name, amount in pairs(row.amounts) do
      local resource = resource_of(name)
      amounts[resource] = (amounts[resource] or 0) + amount
    end
  end
  return amounts
end

-- The owner stays within its limits.
local function refuse_for_owner(grant)
  grant.amounts = sum_of(grant.hosts)
  for resource, cap in pairs(grant.caps) do
    local field = resource .. '/' .. grant.job.owner
    if usage[field] == nil then
      usage[field] = number_of(redis.call('HGET', key('usage'), field) or '0') or false
    end
    if not usage[field] or usage[field] + (given[field] or 0) + (grant.amounts[resource] or 0) > cap then
      return 'CAPPED'
    end
  end
end

-- No more jobs of its array hold than may at a time.
local function refuse_for_array(grant)
  local name, holding = array_limiting(grant.job)
  if name then
    grant.array, arrays[name] = name, arrays[name] or holding
    return arrays[name] >= grant.job.at_once and 'AT_ONCE' or nil
  end
end

-- Every host is in service, is in the aggregates and has the traits that the plan read, and has room. A job without
-- resources needs the host as well.
local function refuse_for_room(grant)
  for _, row in ipairs(grant.hosts) do
    local is_checked = false
    for resource, amount in pairs(row.amounts) do
      if not has_room(row, resource, amount) then
        return 'FULL'
      end
      is_checked = true
    end
    if not is_as_planned(row) or not is_whole(row) or not (is_checked or has_room(row, '', 0)) then
      return 'FULL'
    end
  end
end

-- Counts what a job is granted.
local function take(grant)
  local job, receiver = grant.job, grant.receiver
  taken[job.request_id] = true
  receiver.granted = receiver.granted + 1
  receiver.uncalled = receiver.uncalled + (receiver.record.prompt and 0 or 1)
  if is_half_open(receiver.record, now) then
    receiver.probe, receiver.is_closed = job.request_id, true
  end
  if grant.array then
    arrays[grant.array] = arrays[grant.array] + 1
  end
  for _, row in ipairs(grant.hosts) do
    for name, amount in pairs(row.amounts) do
      local room = rooms[row.host][name]
      room.free = room.free - amount
    end
  end
  for resource, amount in pairs(grant.amounts) do
    local field = resource .. '/' .. job.owner
    given[field] = (given[field] or 0) + amount
  end
end

local function refuse(grant)
  return refuse_as_moved(grant) or refuse_for_receiver(grant) or refuse_for_owner(grant) or refuse_for_array(grant)
    or refuse_for_room(grant)
end

-- 1. Decide on each grant.
local results, granted = {}, {}
for i, grant in ipairs(grants) do
  local refusal = policy_value('paused') == '1' and 'PAUSED' or refuse(grant)
  results[i] = { refusal = refusal }
  if not refusal then
    take(grant)
    granted[#granted + 1], grant.result = grant, results[i]
  end
end

-- 2. Read what the writes below need, so that none of them can fail.
local jobs, members, counts = {}, {}, {}
for i, grant in ipairs(granted) do
  jobs[i], members[i] = grant.job, grant.job.member
end
local incarnation, counters, fence
if #granted > 0 then
  local forecasts = redis.call('HMGET', key('forecasts'), unpack(members))
  for i, grant in ipairs(granted) do
    grant.waited = count_grant(counts, grant.job, grant.size, forecasts[i], now)
  end
  incarnation, counters = add_counts(counts)
  incarnation, fence = incarnation or new_incarnation(), tonumber(next_serial('fence'))
end
local offer = policy_number_of('offer')

-- 3. Note what keeps grants waiting. Nothing is written before this line.
if late then
  note_late()
end
for name, receiver in pairs(receivers) do
  if receiver.is_behind then
    note_behind(name, now)
  end
end
if #granted == 0 then
  return reply({ results = results, deliveries = deliveries })
end

-- 4. Hold the capacity.
hold(granted)

-- 5. Note who is called.
for name, receiver in pairs(receivers) do
  if receiver.granted > 0 then
    if receiver.probe then
      redis.call('HSET', destination_key(name), 'probe', receiver.probe)
    end
    redis.call('ZADD', key('destinations'), whole(now), name)
    redis.call('SADD', key('owners:' .. receiver.destination), receiver.owner)
  end
end

-- 6. Give each job its fence and its hosts, and claim its callback if the caller takes it. The first write counts what
-- the jobs waited, too.
redis.call('HSET', base, 'fence', whole(fence + #granted - 1), 'incarnation', incarnation, unpack(counters))
local demands = leave_queue_together(jobs)
set_deadlines(members, 'granted')

-- Returns whether the callback of a job that is granted is claimed: those that wait for a slot go first.
local function is_claimed_now(receiver)
  return #deliveries < limit and receiver.destination ~= OFFER and receiver.parked == 0 and offer ~= 0
    and (receiver.record.prompt or unproven > 0) and has_free_slot(receiver, now)
end

-- Sets the fields of a job, and tells of its grant.
local function become_granted(grant, number, is_claimed)
  local job, changes = grant.job, {
    'status', 'granted',
    'updated', whole(wall_us()),
    'demand', demands[grant.job.shape],
    'fence', number,
    'incarnation', incarnation,
    'hosts', grant.instances,
    'attempts', is_claimed and '1' or '0',
    'granted', whole(now),
    'destination', grant.destination,
    'offer_ends', offer and whole(now + offer) or '',
    'predicted', grant.predicted,
    'predicted_from', grant.predicted_from,
    'demand_key', grant.demand_key,
    'size', grant.size,
  }
  if grant.devices then
    changes[#changes + 1], changes[#changes + 2] = 'devices', grant.devices
  end
  if grant.alternative then
    changes[#changes + 1], changes[#changes + 2] = 'alternative', grant.alternative
  end
  redis.call('HSET', job_key(job.request_id), unpack(changes))
  if job.error ~= '' then -- of an offer that was missed before
    redis.call('HDEL', job_key(job.request_id), 'error')
  end
  job.alternative, job.offer_ends = grant.alternative, offer and now + offer or math.huge
  job.counts = { waited = whole(grant.waited), size = grant.size, amounts = amounts_text(grant.amounts) }
  if job.give_up_after or job.hold_at_most then
    change_alarm(job, 'queued', 'granted')
  end
  if job.at_once then
    note_holding(job, true)
  end
  record_event(job, 'queued', 'granted', job.alternative and 'alternative' or nil, job.alternative)
end

local by_priority, left = {}, {} -- left: owner → how many of its jobs wait no more
for i, grant in ipairs(granted) do
  local job, receiver = grant.job, grant.receiver
  local is_claimed = is_claimed_now(receiver)
  grant.result.fence = whole(fence + i - 1)
  become_granted(grant, grant.result.fence, is_claimed)
  if is_claimed then
    unproven = unproven - (receiver.record.prompt and 0 or 1)
    claim(job, 1, receiver, now + lease)
  else
    receiver.members[#receiver.members + 1] = job.member
  end
  by_priority[2 * i - 1], by_priority[2 * i] = job.priority, job.member
  if job.bytes then
    left[job.owner] = (left[job.owner] or 0) + 1
  end
end
add_members(key('status:granted'), by_priority)
for owner, count in pairs(left) do
  count_waiting(owner, -count)
end

-- 7. Schedule the other callbacks.
write_claims()
for name, receiver in pairs(receivers) do
  if #receiver.members > 0 then
    if receiver.destination ~= OFFER then
      schedule_first(receiver.members, receiver.record, now)
    end
    count_uncalled(receiver.members, name, receiver.record.prompt, now, FORGET_MS)
  end
end
return reply({ results = results, deliveries = deliveries })
