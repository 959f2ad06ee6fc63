--- Read every destination jobs were granted to be called at, and whether most of them fail.
--- Keeps: one instant.
--- KEYS[1] base
--- Returns {now (ms), 1 in an outage of ours else 0, {destination, in flight, parked, field, value, …}
---   a destination}
--- Errors none
--- @include "base"
--- @include "destination"

local now = now_ms()
local reply = { whole(now), is_outage(now) and 1 or 0 }
for _, destination in ipairs(redis.call('ZRANGE', key('destinations'), 0, -1)) do
  local fields = redis.call('HGETALL', destination_key(destination))
  table.insert(fields, 1, redis.call('ZCARD', key('parked:' .. destination)))
  table.insert(fields, 1, redis.call('ZCOUNT', key('flying:' .. destination), whole(now), '+inf'))
  table.insert(fields, 1, destination)
  reply[#reply + 1] = fields
end
return reply
