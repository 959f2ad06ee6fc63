--- Seen: the part of a running job's grant that a source already counts as used, so it is not held too.
--- Invariant: holds + seen = the grant, on each host and resource, after any snapshots.
--- @include "base"
--- @include "hold"

-- Adds the amounts of a flat list to `amounts`, for hosts in `hosts`.
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
  local seen, used_elsewhere = {}, {}
  for field, amount in pairs(used) do
    local resource = resource_of(field)
    seen[field] = math.min(granted[field] or 0, amount)
    used_elsewhere[resource] = (used_elsewhere[resource] or 0) + amount - seen[field]
  end
  for _, field in ipairs(sorted_fields(granted)) do
    local resource, seen_here = resource_of(field), seen[field] or 0
    local added = math.min(granted[field] - seen_here, used_elsewhere[resource] or 0)
    seen[field] = seen_here + added
    used_elsewhere[resource] = (used_elsewhere[resource] or 0) - added
  end
  return seen
end

-- Returns by how much each field of the job's `seen` has to grow, and its `holds` to shrink; writes
-- nothing. Of a job with a damaged amount nothing changes. `used`: <host>/<resource> → what the job's servers use; nil: all of the grant is seen.
local function plan_seen(request_id, used, hosts)
  local before, granted, changes = {}, {}, {}
  local seen, is_seen_whole = amounts_of(key('seen:' .. request_id))
  local held, is_held_whole = amounts_of(key('holds:' .. request_id))
  if not (is_seen_whole and is_held_whole) then
    return changes
  end
  add_amounts(before, seen, hosts)
  add_amounts(granted, seen, hosts)
  add_amounts(granted, held, hosts)
  local after = used and seen_of(granted, used) or granted
  for field in pairs(granted) do
    local added = after[field] - (before[field] or 0)
    if added ~= 0 then
      changes[field] = added
    end
  end
  return changes
end

-- Carries out what `plan_seen` returned, and adds the hosts whose holds changed to `changed_hosts`.
local function write_seen(request_id, changes, changed_hosts)
  for field, added in pairs(changes) do
    local host, resource = string.match(field, '^(.-)/(.*)$')
    add(key('host:' .. host), 'held:' .. resource, whole(-added))
    add(key('holds:' .. request_id), field, whole(-added))
    add(key('seen:' .. request_id), field, whole(added))
    changed_hosts[host] = true
  end
end
