--- Holds: `holds:<request_id>` is the ledger, `held:<resource>` of a host its running total.
--- Invariant: a host's held is the sum of the ledgers that name it.
--- @include "base"

local function touch_host(host)
  redis.call('ZADD', key('hosts'), redis.call('HINCRBY', base, 'hosts', 1), host)
end

-- A dropped host is forgotten with its last hold; `hosts_epoch` tells readers to read all again.
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

local function hold(request_id, host, resource, amount)
  redis.call('HINCRBY', key('host:' .. host), 'held:' .. resource, amount)
  redis.call('HINCRBY', key('holds:' .. request_id), host .. '/' .. resource, amount)
end

local function release(request_id)
  local ledger = redis.call('HGETALL', key('holds:' .. request_id))
  local touched = {}
  for i = 1, #ledger, 2 do
    local host, resource = string.match(ledger[i], '^(.-)/(.*)$')
    local name, field = key('host:' .. host), 'held:' .. resource
    if redis.call('HINCRBY', name, field, '-' .. ledger[i + 1]) == 0 then
      redis.call('HDEL', name, field)
    end
    touched[host] = true
  end
  redis.call('DEL', key('holds:' .. request_id))
  for host in pairs(touched) do
    touch_host(host)
    forget_if_empty(host)
  end
  return #ledger > 0
end
