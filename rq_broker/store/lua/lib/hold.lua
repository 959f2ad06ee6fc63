--- Holds: `holds:<request_id>` is the ledger, `held:<resource>` of a host its running total;
--- `seen:<request_id>` is what of the grant its source already counts as used.
--- Invariants: a host's held is the sum of the ledgers and of the `parting` that name it; an owner's
--- `usage` is the sum of its jobs' holds and seen, so it is what was granted, whoever counts it.
--- @include "base"
--- @include "clock"
--- @include "policy"

-- Readers ask for changes since a number; `hosts_epoch` tells them to read all again.
local function touch_host(host)
  local number = redis.call('HINCRBY', base, 'hosts', 1)
  if number == 1 then
    redis.call('HSET', base, 'hosts_epoch', whole(now_us()))
  end
  redis.call('ZADD', key('hosts'), number, host)
end

-- A dropped host is forgotten with its last hold.
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
    redis.call('HINCRBY', base, 'hosts_epoch', 1)
  end
end

-- Adds to a whole number in a hash; a field that comes to nothing goes.
local function add(name, field, amount)
  if redis.call('HINCRBY', name, field, amount) == 0 then
    redis.call('HDEL', name, field)
  end
end

local function hold(request_id, owner, host, resource, amount)
  if tonumber(amount) == 0 then
    return
  end
  add(key('host:' .. host), 'held:' .. resource, amount)
  add(key('holds:' .. request_id), host .. '/' .. resource, amount)
  add(key('usage'), resource .. '/' .. owner, amount)
end

-- What a type's jobs held their capacity for, newest first: the planner's ground for an ETA.
local function record_holding(request_id)
  local since = redis.call('HGET', key('job:' .. request_id), 'granted')
  if since then
    redis.call('LPUSH', key('history'), whole(now_ms() - since))
    redis.call('LTRIM', key('history'), 0, 999)
  end
end

-- A host's hash without what we hold on it: out of service, and forgotten with its last hold.
local function retire(host)
  local name = key('host:' .. host)
  for _, field in ipairs(redis.call('HKEYS', name)) do
    if string.sub(field, 1, 5) ~= 'held:' then
      redis.call('HDEL', name, field)
    end
  end
  redis.call('HSET', name, 'aggregates', '[]', 'dropped', '1')
end

-- Ends what is parting since before `time` (ms, or '+inf') on the hosts that `over` tells; returns
-- whether anything was.
local function part(over, time)
  local found = false
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', key('parting'), '-inf', '(' .. time)) do
    local amount, host, resource = string.match(entry, '^%d+:(%d+):(.-)/(.*)$')
    if over(host) then
      redis.call('ZREM', key('parting'), entry)
      add(key('host:' .. host), 'held:' .. resource, '-' .. amount)
      touch_host(host)
      forget_if_empty(host)
      found = true
    end
  end
  return found
end

-- Under until_seen a client may have started something that no snapshot shows yet. So what a job
-- lets go of on a source's host parts only with a snapshot begun later.
local function is_parting(host)
  return policy_value('holds') == 'until_seen'
    and redis.call('HGET', key('host:' .. host), 'source')
end

-- Returns whether anything was held or seen.
local function release(job)
  local ledger = redis.call('HGETALL', key('holds:' .. job.request_id))
  local seen = redis.call('HGETALL', key('seen:' .. job.request_id))
  local touched = {}
  for i = 1, #ledger, 2 do
    local host, resource = string.match(ledger[i], '^(.-)/(.*)$')
    add(key('usage'), resource .. '/' .. job.owner, '-' .. ledger[i + 1])
    if is_parting(host) then
      local entry = job.fence .. ':' .. ledger[i + 1] .. ':' .. ledger[i]
      redis.call('ZADD', key('parting'), whole(now_ms()), entry)
    else
      add(key('host:' .. host), 'held:' .. resource, '-' .. ledger[i + 1])
      touched[host] = true
    end
  end
  for i = 1, #seen, 2 do
    local resource = string.match(seen[i], '^.-/(.*)$')
    add(key('usage'), resource .. '/' .. job.owner, '-' .. seen[i + 1])
  end
  redis.call('DEL', key('holds:' .. job.request_id), key('seen:' .. job.request_id))
  for host in pairs(touched) do
    touch_host(host)
    forget_if_empty(host)
  end
  if #ledger + #seen > 0 then
    record_holding(job.request_id)
  end
  return #ledger + #seen > 0
end
