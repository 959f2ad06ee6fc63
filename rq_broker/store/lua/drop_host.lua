--- Take a host out of service.
--- Keeps: its holds stay; the host is deleted with the last of them. A source that still reports the
---   host puts it back into service; a source without hosts is forgotten.
--- KEYS[1] base
--- ARGV
---   host       string   its name
---   publisher  string?  who may drop the hosts only that it published; whoever may drop all if not given
--- Returns none
--- Errors FORBIDDEN, HOST_NOT_FOUND
--- Audit the host; its fields, as its hash has them
--- @include "base"
--- @include "hold"
--- @include "audit_log"

local name = key('host:' .. host)
if redis.call('EXISTS', name) == 0 then
  return redis.error_reply('HOST_NOT_FOUND no host of this type has this name')
end
if publisher and redis.call('HGET', name, 'publisher') ~= publisher then
  return redis.error_reply('FORBIDDEN another one published this host')
end
local stored = redis.call('HMGET', name, 'source', 'dropped')
local source, is_dropped = stored[1], stored[2]
if source and not is_dropped and (add_to(key('source:' .. source), 'hosts', -1) or 1) <= 0 then
  redis.call('DEL', key('source:' .. source))
  redis.call('SREM', key('sources'), source)
end
local old = actor and not is_dropped and audit_host(name)
retire(host)
touch_host(host)
add_to(base, 'capacity_number', 1)
-- No snapshot of a source will end the releases under way on it.
end_releases(function(release_host)
  return release_host == host
end, '+inf')
forget_if_empty(host)
if old then
  record_audit(actor, 'drop_host', host, (audit_changes(old, {})))
end
