--- Seen: what of a running job's grant a source already counts as used, which is held no longer.
--- Invariant: hold + seen = granted, on each host and resource, whatever is seen, however often.
--- @include "base"
--- @include "hold"

local function resource_of(field)
  return string.match(field, '^.-/(.*)$')
end

-- Adds what `flat` lists to `amounts`; fields of hosts that are not `mine` are left out.
local function collect(amounts, flat, mine)
  for i = 1, #flat, 2 do
    if mine[string.match(flat[i], '^(.-)/')] then
      amounts[flat[i]] = (amounts[flat[i]] or 0) + flat[i + 1]
    end
  end
  return amounts
end

-- What its servers have where it was granted counts there first. What they have elsewhere (a
-- scheduler chose another host, a server moved) counts against the rest, by the hosts' names.
local function shares(granted, used)
  local fields, share, spare = {}, {}, {}
  for field in pairs(granted) do
    fields[#fields + 1] = field
  end
  table.sort(fields)
  for field, amount in pairs(used) do
    local resource = resource_of(field)
    share[field] = math.min(granted[field] or 0, amount)
    spare[resource] = (spare[resource] or 0) + amount - share[field]
  end
  for _, field in ipairs(fields) do
    local resource, has = resource_of(field), share[field] or 0
    local more = math.min(granted[field] - has, spare[resource] or 0)
    share[field] = has + more
    spare[resource] = (spare[resource] or 0) - more
  end
  return share
end

-- `used`: host/resource → what its servers have there, nil when all of the grant is taken as seen.
-- Hosts whose held changed are added to `touched`.
local function see(request_id, mine, used, touched)
  local holds, seen = key('holds:' .. request_id), key('seen:' .. request_id)
  local before = collect({}, redis.call('HGETALL', seen), mine)
  local granted = collect({}, redis.call('HGETALL', holds), mine)
  for field, amount in pairs(before) do
    granted[field] = (granted[field] or 0) + amount
  end
  local share = used and shares(granted, used) or granted
  for field, amount in pairs(granted) do
    local more = share[field] - (before[field] or 0)
    if more ~= 0 then
      local host, resource = string.match(field, '^(.-)/(.*)$')
      add(key('host:' .. host), 'held:' .. resource, whole(-more))
      add(holds, field, whole(-more))
      add(seen, field, whole(more))
      touched[host] = true
    end
  end
end
