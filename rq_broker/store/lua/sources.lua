--- Read how the type's sources are; one without hosts that nobody polled for an hour is forgotten.
--- Keeps: one instant.
--- KEYS[1] base
--- Returns {now (ms), {source, field, value, …} a source}
--- Errors none
--- @include "base"
--- @include "clock"

local FORGET_MS = 3600000

local now = now_ms()
local reply = { whole(now) }
for _, source in ipairs(redis.call('SMEMBERS', key('sources'))) do
  local record = key('source:' .. source)
  local about = redis.call('HMGET', record, 'hosts', 'tried')
  if tonumber(about[1] or '0') <= 0 and tonumber(about[2] or '0') < now - FORGET_MS then
    redis.call('SREM', key('sources'), source)
    redis.call('DEL', record)
  else
    local fields = redis.call('HGETALL', record)
    table.insert(fields, 1, source)
    reply[#reply + 1] = fields
  end
end
return reply
