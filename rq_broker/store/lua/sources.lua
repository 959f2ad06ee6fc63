--- Read the state of the type's sources.
--- Keeps: all sources are read at one instant; one that has no hosts and was not polled for an hour is
---   left out; a sweep forgets it.
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
--- @include "source"

local now, sources = now_ms(), {}
for _, source in ipairs(redis.call('SMEMBERS', key('sources'))) do
  if not is_past(source, now) then
    sources[#sources + 1] = { source = source, fields = redis.call('HGETALL', key('source:' .. source)) }
  end
end
return reply({ now = now, sources = sources })
