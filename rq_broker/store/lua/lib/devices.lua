--- Devices: `<resource>/<number>` names one device of a host, such as `GPU/2`. It is held, used and free like
--- a resource of its own; limits, owners' usage and units go by the resource.

-- Returns the resource of a device; any other resource is its own.
local function resource_of(name)
  return string.match(name, '^[^/]*')
end
