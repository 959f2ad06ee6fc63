--- Forget a source that no notifier polls any more, and take its hosts out of service.
--- Keeps: holds stay; a host is deleted with the last of them. A source that is polled stays: its next
---   snapshot would bring it back.
--- KEYS[1] base
--- ARGV
---   source  string  its name
--- Returns none
--- Errors SOURCE_NOT_FOUND, CONFLICT
--- Audit the source; how many hosts go out of service
--- @include "base"
--- @include "clock"
--- @include "hold"
--- @include "queue"
--- @include "audit_log"

local POLLED_INTERVALS = 3 -- a poller that is alive begins a snapshot in each interval
local POLLED_MS = 5000 -- at least: another notifier may be about to take the source over

local record = key('source:' .. source)
if redis.call('SISMEMBER', key('sources'), source) == 0 and redis.call('EXISTS', record) == 0 then
  return redis.error_reply('SOURCE_NOT_FOUND no source of this type has this name')
end
local tried = number_of(redis.call('HGET', record, 'tried'), 0)
local interval = number_of(redis.call('HGET', record, 'interval'), 0)
if now_ms() - tried < math.max(POLLED_INTERVALS * interval, POLLED_MS) then
  return redis.error_reply('CONFLICT a notifier polls this source: take it out of the file of --source first')
end

-- 1. Take its hosts out of service.
local is_of_source, retired = {}, 0
for _, host in ipairs(redis.call('ZRANGE', key('hosts'), 0, -1)) do
  local stored = redis.call('HMGET', key('host:' .. host), 'source', 'dropped')
  if stored[1] == source and not stored[2] then
    is_of_source[host], retired = true, retired + 1
    retire(host)
    touch_host(host)
  end
end
end_releases(function(host)
  return is_of_source[host]
end, '+inf')
for host in pairs(is_of_source) do
  forget_if_empty(host)
end

-- 2. Forget the source.
redis.call('DEL', record, key('turn:source:' .. source), key('turn:source:' .. source .. ':again'))
redis.call('SREM', key('sources'), source)
if retired > 0 then
  add_to(base, 'capacity_number', 1)
  wake('grant')
end
record_audit(actor, 'forget_source', source, { 'hosts', retired })
