--- Holds: `holds:<request_id>` lists what a job holds, and `held:<resource>` of a host is the sum of
--- what jobs hold on that host. `seen:<request_id>` lists the part of the job's grant that is no longer
--- held because a source counts it as used; `unheld:<request_id>` what is neither held nor used, see lib/seen.
--- Keeps: a host's `held` is the sum of the holds, and of the entries of `parting`, that name it. An
--- owner's `usage` is the sum of its jobs' holds, seen and unheld amounts: what was granted to them.
--- @include "base"
--- @include "batches"
--- @include "clock"
--- @include "devices"
--- @include "policy"
--- @include "past_usage"
--- @include "servers"

-- Returns the host and the resource that a field <host>/<resource> names.
local function place_of(field)
  return string.match(field, '^(.-)/(.*)$')
end

-- Gives a host the next change number. Readers ask for the changes since a number; a new
-- `hosts_epoch` makes them read all hosts again.
local function touch_host(host)
  local number = add_to(base, 'hosts', 1)
  if not number then -- damaged: count anew
    redis.call('HSET', base, 'hosts', '1')
    number = 1
  end
  if number == 1 then
    redis.call('HSET', base, 'hosts_epoch', whole(wall_us()))
  end
  redis.call('ZADD', key('hosts'), number, host)
end

-- Deletes a dropped host once nothing is held on it.
local function forget_if_empty(host)
  local name = key('host:' .. host)
  if redis.call('HGET', name, 'dropped') then
    for _, field in ipairs(redis.call('HKEYS', name)) do
      if string.sub(field, 1, 5) == 'held:' then
        return
      end
    end
    redis.call('DEL', name)
    redis.call('ZREM', key('hosts'), host)
    add_to(base, 'hosts_epoch', 1)
  end
end

-- Adds to a whole number in a hash, and deletes a field that becomes 0.
local function add(name, field, amount)
  if add_to(name, field, amount) == 0 then
    redis.call('HDEL', name, field)
  end
end

-- Changes what an owner holds of a resource, or of one of its devices.
local function change_usage(name, owner, amount)
  local field = resource_of(name) .. '/' .. owner
  average_until_now(field)
  add(key('usage'), field, amount)
end

-- Adds an amount to an entry of a table of tables.
local function add_amount(amounts, name, field, amount)
  local of_name = amounts[name] or {}
  amounts[name] = of_name
  of_name[field] = (of_name[field] or 0) + amount
end

-- Holds capacity for jobs that hold none. `grants`: of each the `job`, and as `hosts` what it has of each host, each
-- host once.
local function hold(grants)
  local held, used = {}, {} -- host → resource, and owner → resource → amount
  for _, grant in ipairs(grants) do
    local holds = {}
    for _, row in ipairs(grant.hosts) do
      held[row.host] = held[row.host] or {}
      for resource, amount in pairs(row.amounts) do
        if amount > 0 then
          add_amount(held, row.host, resource, amount)
          add_amount(used, grant.job.owner, resource, amount)
          holds[#holds + 1] = row.host .. '/' .. resource
          holds[#holds + 1] = whole(amount)
        end
      end
    end
    set_fields(key('holds:' .. grant.job.request_id), holds)
  end
  for host, amounts in pairs(held) do
    for resource, amount in pairs(amounts) do
      add(key('host:' .. host), 'held:' .. resource, whole(amount))
    end
    touch_host(host)
  end
  for owner, amounts in pairs(used) do
    for resource, amount in pairs(amounts) do
      change_usage(resource, owner, whole(amount))
    end
  end
end

-- Returns amounts of resources as text: a line `<resource>/<amount>` each, by name. No name has a line's end.
local function amounts_text(amounts)
  local lines = {}
  for resource, amount in pairs(amounts) do
    if amount > 0 then
      lines[#lines + 1] = resource .. '/' .. whole(amount)
    end
  end
  table.sort(lines)
  return table.concat(lines, '\n')
end

-- Keeps how long a job held its capacity; the planner predicts from these how long others will.
local function record_holding(job)
  local f = redis.call('HMGET', key('job:' .. job.request_id), 'granted', 'demand_key', 'size', 'expected',
    'least_expected')
  local granted = tonumber(f[1] or '')
  if granted then
    redis.call('XADD', key('holding_times'), 'MAXLEN', '~', '10000', '*', 'milliseconds', whole(now_ms() - granted),
      'owner', job.owner, 'demand_key', f[2] or '', 'size', f[3] or '', 'expected', f[5] or f[4] or '')
    redis.call('DEL', key('history')) -- the list that version 0.1 kept
  end
end

-- Takes a host out of service: its hash keeps only the `held` fields.
local function retire(host)
  local name = key('host:' .. host)
  for _, field in ipairs(redis.call('HKEYS', name)) do
    if string.sub(field, 1, 5) ~= 'held:' then
      redis.call('HDEL', name, field)
    end
  end
  redis.call('HSET', name, 'aggregates', '[]', 'dropped', '1')
end

-- Under the policy until_seen, a client may have started servers that no snapshot shows yet. What its
-- job releases on a host of a source therefore stays held, as an entry of `parting`, until a snapshot
-- begun later is applied.
local function is_released_later(host)
  return policy_value('holds') == 'until_seen'
    and redis.call('HGET', key('host:' .. host), 'source')
end

-- Ends the delayed releases from before `time` (ms, or '+inf') on the hosts for which `is_included`
-- returns true. Returns whether there were any.
local function end_releases(is_included, time)
  local ended = false
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', key('parting'), '-inf', '(' .. time)) do
    local amount, host, resource = string.match(entry, '^%d+:(%d+):(.-)/(.*)$')
    if host and is_included(host) then
      redis.call('ZREM', key('parting'), entry)
      add(key('host:' .. host), 'held:' .. resource, '-' .. amount)
      touch_host(host)
      forget_if_empty(host)
      ended = true
    end
  end
  return ended
end

-- Returns <host>/<resource>, amount, … of a hash without what is damaged, and whether that is all.
local function amounts_of(name)
  local flat, amounts = redis.pcall('HGETALL', name), {}
  for i = 1, #flat, 2 do
    if string.match(flat[i], '/') and tonumber(flat[i + 1]) then
      amounts[#amounts + 1] = flat[i]
      amounts[#amounts + 1] = flat[i + 1]
    end
  end
  return amounts, #amounts == #flat and not flat.err
end

-- Releases all that a job holds, and its servers; `to`: the status that it leaves for, nil if it is deleted. Returns whether
-- it held anything, or a source counted it as used. An offer that was not taken up says nothing about
-- how long jobs hold.
local function release(job, to)
  local holds = amounts_of(key('holds:' .. job.request_id))
  local seen = amounts_of(key('seen:' .. job.request_id))
  local unheld = amounts_of(key('unheld:' .. job.request_id))
  local changed_hosts = {}
  forget_servers(job.request_id)
  local had = {}
  for _, amounts in ipairs({ holds, seen, unheld }) do
    for i = 1, #amounts, 2 do
      local _, resource = place_of(amounts[i])
      resource = resource_of(resource)
      had[resource] = (had[resource] or 0) + tonumber(amounts[i + 1])
    end
  end
  if #holds + #seen + #unheld > 0 then
    read_policy({ 'holds', 'share' })
  end
  for i = 1, #holds, 2 do
    local field, amount = holds[i], holds[i + 1]
    local host, resource = place_of(field)
    change_usage(resource, job.owner, '-' .. amount)
    if is_released_later(host) then
      redis.call('ZADD', key('parting'), whole(now_ms()), job.fence .. ':' .. amount .. ':' .. field)
    else
      add(key('host:' .. host), 'held:' .. resource, '-' .. amount)
      changed_hosts[host] = true
    end
  end
  for _, amounts in ipairs({ seen, unheld }) do
    for i = 1, #amounts, 2 do
      local _, resource = place_of(amounts[i])
      change_usage(resource, job.owner, '-' .. amounts[i + 1])
    end
  end
  redis.call('DEL', key('holds:' .. job.request_id), key('seen:' .. job.request_id), key('unheld:' .. job.request_id))
  redis.call('ZREM', key('unheld'), job.member)
  for host in pairs(changed_hosts) do
    touch_host(host)
    forget_if_empty(host)
  end
  local held_anything = #holds + #seen + #unheld > 0
  if held_anything and job.granted then
    job.counts = { held = whole(math.max(0, now_ms() - job.granted)), size = job.size, amounts = amounts_text(had) }
  end
  if held_anything and (job.status == 'running' or to == 'done') then
    record_holding(job)
  end
  return held_anything
end
