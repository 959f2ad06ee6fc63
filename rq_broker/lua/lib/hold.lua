--- Holds: `holds:<request_id>` is the ledger, `held:<resource>` of a host its running total.
--- Invariants: a host's held is the sum of the ledgers that name it; `usage` is the same by owner.
--- @include "base"
--- @include "clock"

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

-- Returns whether anything was held.
local function release(request_id, owner)
  local ledger = redis.call('HGETALL', key('holds:' .. request_id))
  local touched = {}
  for i = 1, #ledger, 2 do
    local host, resource = string.match(ledger[i], '^(.-)/(.*)$')
    add(key('host:' .. host), 'held:' .. resource, '-' .. ledger[i + 1])
    add(key('usage'), resource .. '/' .. owner, '-' .. ledger[i + 1])
    touched[host] = true
  end
  redis.call('DEL', key('holds:' .. request_id))
  if #ledger > 0 then
    record_holding(request_id)
  end
  for host in pairs(touched) do
    touch_host(host)
    forget_if_empty(host)
  end
  return #ledger > 0
end
