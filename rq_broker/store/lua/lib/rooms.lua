--- What hosts let jobs have, as the grants of a call see it: `free` of a room is less after each of them.
--- @include "base"
--- @include "devices"

local rooms = {} -- host → resource or device → its room

-- `name`: a resource, or a device. A host has no capacity of a resource that it has in devices.
local function read_room(host, name)
  local resource = resource_of(name)
  local fields = redis.call('HMGET', key('host:' .. host), 'aggregates', 'dropped',
    'capacity:' .. name, 'used:' .. name, 'held:' .. name, 'max_unit:' .. resource, 'min_unit:' .. resource,
    'step_size:' .. resource, 'mixed')
  local capacity, used, held = number_of(fields[3] or '0'), number_of(fields[4] or '0'), number_of(fields[5] or '0')
  local is_damaged = not (capacity and used and held)
  return {
    resource = resource, aggregates = fields[1], is_in_service = fields[1] and not fields[2] and not is_damaged,
    free = is_damaged and 0 or capacity - used - held_against(host, name, held, fields[9]),
    most = number_of(fields[6], math.huge), least = number_of(fields[7], 0), step = number_of(fields[8], 1),
  }
end

local function room_of(host, name)
  local of_host = rooms[host] or {}
  rooms[host] = of_host
  of_host[name] = of_host[name] or read_room(host, name)
  return of_host[name]
end

local function has_room(row, name, amount)
  local room = room_of(row.host, name)
  local resource = room.resource
  return room.is_in_service and (not row.aggregates or row.aggregates == room.aggregates)
    and amount <= room.free
    and (row.largest[resource] or amount) <= room.most
    and (row.smallest[resource] or amount) >= room.least
    and (room.step <= 1 or (row.divisor[resource] or amount) % room.step == 0)
end

local function is_as_planned(row)
  if not row.with_traits and not row.anywhere then
    return true
  end
  local fields = redis.call('HMGET', key('host:' .. row.host), 'traits', 'anywhere')
  return (not row.with_traits or row.traits == (fields[1] or '')) and (not row.anywhere or fields[2])
end

-- Returns whether each device of which an instance has several is as large as what the instance has of it.
local function is_whole(row)
  for _, name in ipairs(row.whole) do
    if number_of(redis.call('HGET', key('host:' .. row.host), 'capacity:' .. name), 0) ~= row.amounts[name] then
      return false
    end
  end
  return true
end
