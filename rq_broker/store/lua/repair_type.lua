--- Make sums, counters and indexes of a type agree with its jobs.
--- Keeps: what jobs hold is what is true. Run again, it changes nothing. It reads every job that holds
---   capacity, 500 of them in about a millisecond; Redis serves nobody else meanwhile.
--- KEYS[1] base
--- ARGV
---   counters      fields   a counter of the base hash, and a number that is in use
---   callbacks     fields   digest of a callback, and the job that the index gives it to but that is gone
---   shapes        strings  digests of shapes to enter in, or take from, `heads`
---   receivers     strings  receivers to enter in, or take from, `parked`
---   servers       strings  servers to take from the index unless the job there runs as them
---   waiting       fields   an owner, and what is to be added to its number of waiting jobs
---   bytes         fields   an owner, and what is to be added to the bytes of its jobs
--- Returns
---   changed       integer  hosts and owners' sums that were set anew
--- Errors none
--- Audit the type; how many sums of hosts and owners were set anew
--- @include "become"
--- @include "destination"
--- @include "digests"
--- @include "audit_log"

local HOLDING = { 'granted', 'running' }
local held, usage = {}, {} -- host → resource → amount; <resource>/<owner> → amount
local changed = 0

local function add_held(host, resource, amount)
  held[host] = held[host] or {}
  held[host][resource] = (held[host][resource] or 0) + amount
end

local function add_job(member)
  local request_id = request_id_of(member)
  local owner = redis.pcall('HGET', job_key(request_id), 'owner')
  for _, kind in ipairs({ 'holds:', 'seen:', 'unheld:' }) do
    local amounts = amounts_of(key(kind .. request_id))
    for i = 1, #amounts, 2 do
      local host, resource = place_of(amounts[i])
      if kind == 'holds:' then
        add_held(host, resource, tonumber(amounts[i + 1]))
      end
      if owner and not owner.err then
        local field = resource_of(resource) .. '/' .. owner
        usage[field] = (usage[field] or 0) + amounts[i + 1]
      end
    end
  end
end

-- Brings back a host that jobs hold capacity on but that has no hash, or is not listed: out of service until whoever
-- published it does so again, as nothing else tells its capacity.
local function restore_host(host)
  local name = key('host:' .. host)
  if redis.call('EXISTS', name) == 0 then
    retire(host)
  elseif redis.call('ZSCORE', key('hosts'), host) then
    return
  end
  touch_host(host)
end

-- Sets the `held` fields of a host to the sums.
local function repair_host(host)
  local name, sums = key('host:' .. host), held[host] or {}
  local flat, is_wrong, set, deleted = redis.call('HGETALL', name), false, {}, {}
  if #flat == 0 then
    redis.call('ZREM', key('hosts'), host)
    return
  end
  local stored = {}
  for i = 1, #flat, 2 do
    local resource = string.match(flat[i], '^held:(.*)$')
    if resource then
      stored[resource] = flat[i + 1]
      if not sums[resource] then
        deleted[#deleted + 1] = flat[i]
      end
    end
  end
  for resource, amount in pairs(sums) do
    if stored[resource] ~= whole(amount) then
      set[#set + 1] = 'held:' .. resource
      set[#set + 1] = whole(amount)
    end
  end
  is_wrong = #set + #deleted > 0
  if is_wrong then
    set_fields(name, set)
    delete_fields(name, deleted)
    touch_host(host)
    changed = changed + 1
  end
  forget_if_empty(host)
end

local function repair_usage()
  local set, deleted = {}, {}
  local flat, stored = redis.call('HGETALL', key('usage')), {}
  for i = 1, #flat, 2 do
    stored[flat[i]] = flat[i + 1]
    if not usage[flat[i]] then
      deleted[#deleted + 1] = flat[i]
    end
  end
  for field, amount in pairs(usage) do
    if stored[field] ~= whole(amount) then
      set[#set + 1] = field
      set[#set + 1] = whole(amount)
    end
  end
  set_fields(key('usage'), set)
  delete_fields(key('usage'), deleted)
  changed = changed + #set / 2 + #deleted
end

-- 1. Add up what jobs hold, and what they released but hosts still hold.
for _, status in ipairs(HOLDING) do
  for _, member in ipairs(redis.call('ZRANGE', key('status:' .. status), 0, -1)) do
    add_job(member)
  end
end
for _, entry in ipairs(redis.call('ZRANGE', key('parting'), 0, -1)) do
  local amount, host, resource = string.match(entry, '^%d+:(%d+):(.-)/(.*)$')
  if host then
    add_held(host, resource, tonumber(amount))
  end
end

-- 2. Set the sums of hosts and owners.
for host in pairs(held) do
  restore_host(host)
end
for _, host in ipairs(redis.call('ZRANGE', key('hosts'), 0, -1)) do
  repair_host(host)
end
repair_usage()
if policy_value('share') == '' then
  redis.call('DEL', key('past_usage'))
end

-- 3. Raise counters, and mend the entries that were found wrong.
for i = 1, #counters, 2 do
  local highest = math.max(number_of(redis.call('HGET', base, counters[i]), 0), number_of(counters[i + 1], 0))
  redis.call('HSET', base, counters[i], whole(highest))
end
for i = 1, #callbacks, 2 do
  local index, rest = index_entry('callbacks', callbacks[i])
  local request_id = callbacks[i + 1]
  if redis.call('HGET', index, rest) == request_id and redis.call('EXISTS', job_key(request_id)) == 0 then
    redis.call('HDEL', index, rest)
  end
end
for _, shape in ipairs(shapes) do
  refresh_head(shape)
end
for _, server in ipairs(servers) do
  drop_stale_server(server)
end
for name, changes in pairs({ waiting = waiting, bytes = bytes }) do
  for i = 1, #changes, 2 do
    add_use(name, changes[i], changes[i + 1])
  end
end
local owned, sizes = 0, redis.call('HGETALL', key('bytes'))
for i = 2, #sizes, 2 do
  owned = owned + number_of(sizes[i], 0)
end
redis.call('HSET', base, 'bytes', whole(owned))
for _, receiver in ipairs(receivers) do
  if redis.call('EXISTS', key('parked:' .. receiver)) == 1 then
    redis.call('ZADD', key('parked'), whole(now_ms()), receiver)
  else
    redis.call('ZREM', key('parked'), receiver)
  end
end
wake('grant')
record_audit(actor, 'repair_type', type_name(), nil, { 'changed', changed })
return reply({ changed = changed })
