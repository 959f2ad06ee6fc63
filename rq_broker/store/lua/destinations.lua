--- Read what is known of destinations jobs were granted to be called at, and whether most fail.
--- Keeps: one instant.
--- KEYS[1] base
--- ARGV[1] how many at most: first those whose breaker is open, then by their last grant or trouble
--- Returns {now (ms), 1 in an outage of ours else 0, {destination, in flight, parked, field, value, …}
---   a destination}
--- Errors none
--- @include "base"
--- @include "destination"

local limit = tonumber(ARGV[1])

local now, known = now_ms(), {}
local reply = { whole(now), is_outage(now) and 1 or 0 }
local function show(destination)
  if known[destination] or #reply - 2 >= limit then
    return
  end
  known[destination] = true
  local fields = redis.call('HGETALL', destination_key(destination))
  table.insert(fields, 1, redis.call('ZCARD', key('parked:' .. destination)))
  table.insert(fields, 1, redis.call('ZCOUNT', key('flying:' .. destination), whole(now), '+inf'))
  table.insert(fields, 1, destination)
  reply[#reply + 1] = fields
end

if limit > 0 then
  for _, destination in ipairs(redis.call('ZRANGE', key('open'), 0, limit - 1)) do
    show(destination)
  end
  for _, destination in ipairs(redis.call('ZREVRANGE', key('destinations'), 0, limit - 1)) do
    show(destination)
  end
end
return reply
