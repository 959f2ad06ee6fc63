--- Read destinations that jobs were granted to be called at, and whether most of them fail.
--- Keeps: all are read at one instant; open breakers come first, then the latest grant or trouble.
--- KEYS[1] base
--- ARGV
---   limit          integer  how many to read
--- Returns
---   now            integer  the time, ms
---   outage         flag     whether most destinations fail, which is then our own network's fault
---   destinations   rows     a destination
---     destination  string   scheme://host:port
---     in_flight    integer  callbacks on their way there
---     parked       integer  callbacks that wait for a slot there
---     fields       fields   its record
--- Errors none
--- @include "base"
--- @include "destination"

local now, destinations, is_listed = now_ms(), {}, {}

local function list(destination)
  if is_listed[destination] or #destinations >= limit then
    return
  end
  is_listed[destination] = true
  destinations[#destinations + 1] = {
    destination = destination,
    in_flight = redis.call('ZCOUNT', key('flying:' .. destination), whole(now), '+inf'),
    parked = redis.call('ZCARD', key('parked:' .. destination)),
    fields = redis.call('HGETALL', destination_key(destination)),
  }
end

if limit > 0 then
  for _, destination in ipairs(redis.call('ZRANGE', key('open'), 0, limit - 1)) do
    list(destination)
  end
  for _, destination in ipairs(redis.call('ZREVRANGE', key('destinations'), 0, limit - 1)) do
    list(destination)
  end
end
return reply({ now = now, outage = is_outage(now), destinations = destinations })
