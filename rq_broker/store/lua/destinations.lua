--- Read receivers that jobs were granted to be called at, and whether most destinations fail.
--- Keeps: all are read at one instant; open breakers come first, then those that asked for time, then
---   the latest grant or trouble.
--- KEYS[1] base
--- ARGV
---   limit          integer  how many to read
---   owners         strings  only receivers of these owners; none: of all
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
--- @include "owned"

-- Receivers among which those of some owners are looked for: bounds the time of the script.
local MOST_LOOKED_AT = 10000

local now, destinations, is_listed = now_ms(), {}, {}

local function list(receiver)
  local destination = destination_of(receiver)
  local owner = string.sub(receiver, #destination + 2)
  if is_listed[receiver] or #destinations >= limit or not is_own(owner, owners) then
    return
  end
  is_listed[receiver] = true
  local in_flight = key(is_shared(destination) and 'flying_of:' .. receiver or 'flying:' .. destination)
  destinations[#destinations + 1] = {
    destination = destination,
    owner = owner,
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
  local last = (#owners > 0 and MOST_LOOKED_AT or limit) - 1
  list_all(redis.call('ZRANGE', key('open'), 0, last))
  list_all(redis.call('ZRANGE', key('asked'), 0, last))
  list_all(redis.call('ZREVRANGE', key('destinations'), 0, last))
end
return reply({ now = now, outage = is_outage(now), destinations = destinations })
