--- Devices: `<resource>/<number>` names one device of a host, such as `GPU/2`. It is held, used and free like
--- a resource of its own; limits, owners' usage and units go by the resource.
--- @include "base"

-- Returns the resource of a device; any other resource is its own.
local function resource_of(name)
  return string.match(name, '^[^/]*')
end

-- Returns what is held of a host that counts against a resource, or a device: what was granted while the host
-- had other devices, or none, counts as well. It may be of any device, so it counts against each. `held` is what
-- the host has for the name itself, and `is_mixed` whether anything was granted so, see `note_mixed`.
local function held_against(host, name, held, is_mixed)
  if not is_mixed then
    return held
  end
  local resource, flat = resource_of(name), redis.call('HGETALL', key('host:' .. host))
  local capacity = {}
  for i = 1, #flat, 2 do
    capacity[flat[i]] = true
  end
  for i = 1, #flat, 2 do
    local other = string.match(flat[i], '^held:(.*)$')
    if other and other ~= name and resource_of(other) == resource and not capacity['capacity:' .. other] then
      held = held + number_of(flat[i + 1], 0)
    end
  end
  return held
end

-- Notes whether a host holds something of a device that it has no more, or of a resource that it now has in
-- devices; called once its fields were written.
local function note_mixed(host)
  local name = key('host:' .. host)
  local flat, capacity, is_mixed = redis.call('HGETALL', name), {}, false
  for i = 1, #flat, 2 do
    local resource = string.match(flat[i], '^capacity:(.*)$')
    if resource then
      capacity[resource] = true
      capacity[resource_of(resource)] = capacity[resource_of(resource)] or 'devices'
    end
  end
  for i = 1, #flat, 2 do
    local held = string.match(flat[i], '^held:(.*)$')
    is_mixed = is_mixed or held and capacity[held] ~= true and capacity[resource_of(held)] ~= nil
  end
  if is_mixed then
    redis.call('HSET', name, 'mixed', '1')
  else
    redis.call('HDEL', name, 'mixed')
  end
end
