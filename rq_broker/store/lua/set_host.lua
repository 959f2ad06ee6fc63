--- Publish a host: its capacity, and what its publisher knows to be in use.
--- Keeps: holds never change; a host with less capacity than its holds gets no grant until it fits.
--- KEYS[1] base
--- ARGV
---   host        string   its name
---   aggregates  string   its aggregates, a JSON array
---   publisher   string?  who publishes it and replaces its own hosts only; whoever may replace all if not given
---   known       fields   its fields as the caller read them, but for what is held: where they are others by now,
---                        nothing is written, and who published it stays its publisher; none: replace any
---   fields      fields   its other fields: capacity:<resource>, used:<resource>, max_unit:<resource>
--- Returns
---   new         flag     whether the type had no host of this name
---   stored      flag     false if the host is not as the caller knew it
--- Errors CONFLICT, FORBIDDEN, TOO_MANY_HOSTS
--- Audit the host; the fields that change, as its hash has them
--- @include "base"
--- @include "batches"
--- @include "queue"
--- @include "hold"
--- @include "audit_log"

local name = key('host:' .. host)
local stored = redis.call('HMGET', name, 'source', 'dropped', 'publisher')
local source, is_dropped, old_publisher = stored[1], stored[2], stored[3]
if source and not is_dropped then
  return redis.error_reply('CONFLICT the source ' .. source .. ' reports this host: take it out there; after a '
    .. 'DELETE its next snapshot puts the host back')
end
if publisher and old_publisher ~= publisher and not is_dropped and redis.call('EXISTS', name) == 1 then
  return redis.error_reply('FORBIDDEN another one published this host')
end

-- Returns whether the host has the fields that the caller knows, and no others.
local function is_as_known()
  local others = 0
  for _, field in ipairs(redis.call('HKEYS', name)) do
    if string.sub(field, 1, 5) ~= 'held:' and field ~= 'mixed' then
      others = others + 1
    end
  end
  for i = 1, #known, 2 do
    if redis.call('HGET', name, known[i]) ~= known[i + 1] then
      return false
    end
  end
  return others == #known / 2
end

if #known > 0 then
  if not is_as_known() then
    return reply({ new = false, stored = false })
  end
  publisher = old_publisher or nil
end
local most_hosts = policy_number_of('most_hosts')
if redis.call('EXISTS', name) == 0 and redis.call('ZCARD', key('hosts')) >= most_hosts then
  return redis.error_reply('TOO_MANY_HOSTS the type has as many hosts as its most_hosts allows, ' .. whole(most_hosts))
end

-- 1. End the releases under way: no snapshot of a source will end them here.
end_releases(function(release_host)
  return release_host == host
end, '+inf')
local new = redis.call('EXISTS', name) == 0

local old = actor and audit_host(name)

-- 2. Replace all fields but the holds.
local replaced = {}
for _, field in ipairs(redis.call('HKEYS', name)) do
  if string.sub(field, 1, 5) ~= 'held:' then
    replaced[#replaced + 1] = field
  end
end
delete_fields(name, replaced)
redis.call('HSET', name, 'aggregates', aggregates)
if publisher then
  redis.call('HSET', name, 'publisher', publisher)
end
set_fields(name, fields)
note_mixed(host)

-- 3. Wake the granters.
touch_host(host)
add_to(base, 'capacity_number', 1)
wake('grant')
if actor then
  local before, after = audit_changes(old, audit_host(name))
  if #before + #after > 0 then
    record_audit(actor, 'set_host', host, not new and before, after)
  end
end
return reply({ new = new, stored = true })
