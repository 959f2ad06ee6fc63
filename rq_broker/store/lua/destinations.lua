--- Read receivers that jobs were granted to be called at, and whether most destinations fail.
--- Keeps: all are read at one instant; open breakers come first, then those that asked for time, then
---   the latest grant or trouble.
--- KEYS[1] base
--- ARGV
---   limit          integer  how many to read
--- Returns
---   now            integer  the time, ms
---   outage         flag     whether most destinations fail, which is then our own network's fault
---   destinations   rows     a receiver
---     destination  string   scheme://host:port
---     owner        string   whose jobs; '' for those without an owner
---     in_flight    integer  callbacks on their way there
---     parked       integer  callbacks that wait for a slot there
---     fields       fields   its record
--- Errors none
--- @include "base"
--- @include "destination"

local now, destinations, is_listed = now_ms(), {}, {}

local function list(receiver)
  if is_listed[receiver] or #destinations >= limit then
    return
  end
  is_listed[receiver] = true
  local destination = destination_of(receiver)
  local in_flight = key(is_shared(destination) and 'flying_of:' .. receiver or 'flying:' .. destination)
  destinations[#destinations + 1] = {
    destination = destination,
    owner = string.sub(receiver, #destination + 2),
    in_flight = redis.call('ZCOUNT', in_flight, whole(now), '+inf'),
    parked = redis.call('ZCARD', key('parked:' .. receiver)),
    fields = redis.call('HGETALL', destination_key(receiver)),
  }
end

local function list_all(receivers)
  for _, receiver in ipairs(receivers) do
    list(receiver)
  end
end

if limit > 0 then
  list_all(redis.call('ZRANGE', key('open'), 0, limit - 1))
  list_all(redis.call('ZRANGE', key('asked'), 0, limit - 1))
  list_all(redis.call('ZREVRANGE', key('destinations'), 0, limit - 1))
end
return reply({ now = now, outage = is_outage(now), destinations = destinations })
