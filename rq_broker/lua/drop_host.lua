--- Take a host out of service.
--- Keeps: its holds stay on the ledger; it is forgotten when the last of them is released.
--- KEYS[1] base
--- ARGV[1] host
--- Returns 1
--- Errors HOST_NOT_FOUND
--- @include "base"
--- @include "hold"

local host = ARGV[1]

local name = key('host:' .. host)
if redis.call('EXISTS', name) == 0 then
  return redis.error_reply('HOST_NOT_FOUND no host of this type has this name')
end
for _, field in ipairs(redis.call('HKEYS', name)) do
  if string.sub(field, 1, 5) ~= 'held:' then
    redis.call('HDEL', name, field)
  end
end
redis.call('HSET', name, 'aggregates', '[]', 'dropped', '1')
touch_host(host)
redis.call('HINCRBY', base, 'capacity_number', 1)
forget_if_empty(host)
return 1
