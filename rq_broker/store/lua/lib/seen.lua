--- Seen: the part of a running job's grant that a source already counts as used, so it is not held too.
--- `unheld:<request_id>` lists the part that is neither: its servers use it no more, and others filled its host
--- before it could be held again. `unheld` has the jobs that have such a part.
--- Invariant: holds + seen + unheld = the grant, on each host and resource, after any snapshots. What becomes
--- unheld is held again as soon as its host has room for all of it, and never before.
--- @include "base"
--- @include "hold"

-- Adds the amounts of a flat list to `amounts`, for hosts in `hosts`.
local function add_amounts(amounts, flat, hosts)
  for i = 1, #flat, 2 do
    local field = flat[i]
    if hosts[place_of(field)] then
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

-- Returns how much of each granted amount the job's servers use. Use on the host and the device where it was
-- granted counts there first. Use elsewhere (a scheduler chose another host or device, a server moved) counts
-- against the rest of the grant, in the order of the hosts' names.
local function seen_of(granted, used)
  local seen, used_elsewhere = {}, {}
  for field, amount in pairs(used) do
    local _, name = place_of(field)
    local resource = resource_of(name)
    seen[field] = math.min(granted[field] or 0, amount)
    used_elsewhere[resource] = (used_elsewhere[resource] or 0) + amount - seen[field]
  end
  for _, field in ipairs(sorted_fields(granted)) do
    local _, name = place_of(field)
    local resource = resource_of(name)
    local seen_here = seen[field] or 0
    local added = math.min(granted[field] - seen_here, used_elsewhere[resource] or 0)
    seen[field] = seen_here + added
    used_elsewhere[resource] = (used_elsewhere[resource] or 0) - added
  end
  return seen
end

-- Returns by how much each field of the job's `seen` has to grow, and the rest of its grant to shrink; writes
-- nothing. Of a job with a damaged amount nothing changes. `used`: <host>/<resource> → what the job's servers use; nil: all of the grant is seen.
local function plan_seen(request_id, used, hosts)
  local before, granted, changes = {}, {}, {}
  local seen, is_seen_whole = amounts_of(key('seen:' .. request_id))
  local held, is_held_whole = amounts_of(key('holds:' .. request_id))
  local unheld, is_unheld_whole = amounts_of(key('unheld:' .. request_id))
  if not (is_seen_whole and is_held_whole and is_unheld_whole) then
    return changes
  end
  add_amounts(before, seen, hosts)
  add_amounts(granted, seen, hosts)
  add_amounts(granted, held, hosts)
  add_amounts(granted, unheld, hosts)
  local after = used and seen_of(granted, used) or granted
  for field in pairs(granted) do
    local added = after[field] - (before[field] or 0)
    if added ~= 0 then
      changes[field] = added
    end
  end
  return changes
end

-- Carries out what `plan_seen` returned, and adds the hosts whose holds changed to `changed_hosts`. What is used
-- no more becomes unheld; what is used now was unheld first, and only then held.
local function write_seen(request_id, changes, changed_hosts)
  for field, added in pairs(changes) do
    local host, resource = place_of(field)
    local unheld = number_of(redis.call('HGET', key('unheld:' .. request_id), field), 0)
    local from_holds = math.max(added - unheld, 0)
    add(key('seen:' .. request_id), field, whole(added))
    add(key('unheld:' .. request_id), field, whole(from_holds - added))
    if from_holds > 0 then
      add(key('host:' .. host), 'held:' .. resource, whole(-from_holds))
      add(key('holds:' .. request_id), field, whole(-from_holds))
      changed_hosts[host] = true
    end
  end
end

-- Returns whether a host has room for these amounts: resource → amount. A host that is out of service gives no
-- capacity to others, so what was granted there may be held.
local function has_room_for(host, amounts)
  local name = key('host:' .. host)
  if redis.call('HEXISTS', name, 'dropped') == 1 then
    return true
  end
  for resource, amount in pairs(amounts) do
    local f = redis.call('HMGET', name, 'capacity:' .. resource, 'used:' .. resource, 'held:' .. resource, 'mixed')
    local held = held_against(host, resource, number_of(f[3], 0), f[4])
    if number_of(f[1], 0) - number_of(f[2], 0) - held < amount then
      return false
    end
  end
  return true
end

-- Holds what is unheld of a job on each host that has room for all of it there, or whether there is room or not if
-- `is_forced`. Returns whether some is left.
local function hold_again(request_id, changed_hosts, is_forced)
  local unheld, amounts_by_host, is_left = amounts_of(key('unheld:' .. request_id)), {}, false
  for i = 1, #unheld, 2 do
    local host, resource = place_of(unheld[i])
    amounts_by_host[host] = amounts_by_host[host] or {}
    amounts_by_host[host][resource] = tonumber(unheld[i + 1])
  end
  for host, amounts in pairs(amounts_by_host) do
    if is_forced or has_room_for(host, amounts) then
      for resource, amount in pairs(amounts) do
        add(key('host:' .. host), 'held:' .. resource, whole(amount))
        add(key('holds:' .. request_id), host .. '/' .. resource, whole(amount))
        redis.call('HDEL', key('unheld:' .. request_id), host .. '/' .. resource)
      end
      changed_hosts[host] = true
    else
      is_left = true
    end
  end
  return is_left
end

-- Notes whether some of a job's grant is unheld. In the second snapshot that finds it so it is told, since within
-- one snapshot a server that moves may show on no host; and it is told when all is held or used again.
local function note_unheld(member, is_left, now)
  local request_id = request_id_of(member)
  local f = redis.pcall('HMGET', job_key(request_id), 'id', 'hold_lost', 'status', 'owner')
  if f.err then -- a damaged job: the audit finds it
    return
  end
  local job, status = { request_id = request_id, id = f[1] or '', owner = f[4] or '' }, f[3] or ''
  if is_left then
    local is_new = redis.call('ZADD', key('unheld'), 'NX', whole(now), member) == 1
    if not is_new and not f[2] then
      redis.call('HSET', job_key(request_id), 'hold_lost', whole(now))
      record_event(job, status, 'hold_lost')
    end
  else
    redis.call('ZREM', key('unheld'), member)
    if f[2] then
      redis.call('HDEL', job_key(request_id), 'hold_lost')
      record_event(job, status, 'hold_regained')
    end
  end
end
