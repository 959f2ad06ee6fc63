--- Seen: the part of a running job's grant that a source already counts as used, so it is not held too.
--- Invariant: holds + seen = the grant, on each host and resource, after any snapshots.
--- @include "base"
--- @include "hold"

-- Adds the amounts that a hash lists to `amounts`, for hosts in `hosts`.
local function add_amounts(amounts, flat, hosts)
  for i = 1, #flat, 2 do
    local field = flat[i]
    if hosts[string.match(field, '^(.-)/')] then
      amounts[field] = (amounts[field] or 0) + flat[i + 1]
    end
  end
end

local function sorted_fields(amounts)
  local fields = {}
  for field in pairs(amounts) do
    fields[#fields + 1] = field
  end
  table.sort(fields)
  return fields
end

local function resource_of(field)
  return string.match(field, '^.-/(.*)$')
end

-- Returns how much of each granted amount the job's servers use. Use on the host where it was granted
-- counts there first. Use elsewhere (a scheduler chose another host, a server moved) counts against
-- the rest of the grant, in the order of the hosts' names.
local function seen_of(granted, used)
  local seen, elsewhere = {}, {}
  for field, amount in pairs(used) do
    local resource = resource_of(field)
    seen[field] = math.min(granted[field] or 0, amount)
    elsewhere[resource] = (elsewhere[resource] or 0) + amount - seen[field]
  end
  for _, field in ipairs(sorted_fields(granted)) do
    local resource, there = resource_of(field), seen[field] or 0
    local more = math.min(granted[field] - there, elsewhere[resource] or 0)
    seen[field] = there + more
    elsewhere[resource] = (elsewhere[resource] or 0) - more
  end
  return seen
end

-- Returns by how much each field of the job's `seen` has to grow, and its `holds` to shrink; writes
-- nothing. `used`: <host>/<resource> → what the job's servers use; nil: all of the grant is seen.
local function plan_seen(request_id, used, hosts)
  local before, granted, changes = {}, {}, {}
  local seen = redis.call('HGETALL', key('seen:' .. request_id))
  add_amounts(before, seen, hosts)
  add_amounts(granted, seen, hosts)
  add_amounts(granted, redis.call('HGETALL', key('holds:' .. request_id)), hosts)
  local after = used and seen_of(granted, used) or granted
  for field in pairs(granted) do
    local more = after[field] - (before[field] or 0)
    if more ~= 0 then
      changes[field] = more
    end
  end
  return changes
end

-- Carries out what `plan_seen` returned, and adds the hosts whose holds changed to `changed_hosts`.
local function write_seen(request_id, changes, changed_hosts)
  for field, more in pairs(changes) do
    local host, resource = string.match(field, '^(.-)/(.*)$')
    add(key('host:' .. host), 'held:' .. resource, whole(-more))
    add(key('holds:' .. request_id), field, whole(-more))
    add(key('seen:' .. request_id), field, whole(more))
    changed_hosts[host] = true
  end
end
