--- Publish a host: what it can hold, and what its source already sees in use.
--- Keeps: holds are never touched; a host shrunk below them is granted nothing until it fits again.
--- KEYS[1] base
--- ARGV[1] host
--- ARGV[2] its aggregates, a JSON array
--- ARGV[3…] field/value pairs: capacity:<resource>, used:<resource>, max_unit:<resource>
--- Returns 1 when the host is new, else 0
--- Errors CONFLICT
--- @include "base"
--- @include "line"
--- @include "hold"

local host, aggregates = ARGV[1], ARGV[2]

local name = key('host:' .. host)
local known = redis.call('HMGET', name, 'source', 'dropped')
if known[1] and not known[2] then
  return redis.error_reply('CONFLICT the host is the source ' .. known[1] .. "'s: delete it first, or take it out there")
end
part(function(parted)
  return parted == host
end, '+inf')
local stale = { 'dropped' }
for _, field in ipairs(redis.call('HKEYS', name)) do
  if string.sub(field, 1, 5) ~= 'held:' then
    stale[#stale + 1] = field
  end
end
local new = redis.call('HDEL', name, unpack(stale)) == 0
redis.call('HSET', name, 'aggregates', aggregates, unpack(ARGV, 3))
touch_host(host)
redis.call('HINCRBY', base, 'capacity_number', 1)
wake('grant')
return new and 1 or 0
