--- Take a host out of service.
--- Keeps: its holds stay on the ledger; it is forgotten when the last of them is released. A source
---   that still reports it brings it back; one without hosts is forgotten.
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
local source = redis.call('HGET', name, 'source')
if source and not redis.call('HGET', name, 'dropped')
    and redis.call('HINCRBY', key('source:' .. source), 'hosts', -1) <= 0 then
  redis.call('DEL', key('source:' .. source))
  redis.call('SREM', key('sources'), source)
end
retire(host)
touch_host(host)
redis.call('HINCRBY', base, 'capacity_number', 1)
part(function(parted)
  return parted == host
end, '+inf')
forget_if_empty(host)
return 1
