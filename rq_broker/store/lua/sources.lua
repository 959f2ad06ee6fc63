--- Read the state of the type's sources.
--- Keeps: all sources are read at one instant; one that has no hosts and was not polled for an hour is
---   forgotten.
--- KEYS[1] base
--- ARGV none
--- Returns
---   now       integer  the time, ms
---   sources   rows     a source
---     source  string   its name
---     fields  fields   its record
--- Errors none
--- @include "base"
--- @include "clock"

local FORGET_MS = 3600000 -- long enough for an operator to see a source that stopped, and why

local now, sources = now_ms(), {}
for _, source in ipairs(redis.call('SMEMBERS', key('sources'))) do
  local record = key('source:' .. source)
  local stored = redis.call('HMGET', record, 'hosts', 'tried')
  local hosts, tried = tonumber(stored[1] or '0'), tonumber(stored[2] or '0')
  if hosts <= 0 and tried < now - FORGET_MS then
    redis.call('SREM', key('sources'), source)
    redis.call('DEL', record)
  else
    sources[#sources + 1] = { source = source, fields = redis.call('HGETALL', record) }
  end
end
return reply({ now = now, sources = sources })
