--- Apply one snapshot of a source: its hosts, what they have, what is used there, and by which servers.
--- Keeps: an older snapshot never overwrites a newer one; a host that was published, or that another
---   source reports, stays as it is; a host counts as changed only if a field of it changed; `used` and
---   the holds that it replaces change in this one step, and no hold grows beyond what its host has
---   free. An unchanged host costs one read and an unchanged running job two, so thousands of each fit
---   in a call.
--- KEYS[1] base
--- ARGV
---   source        string   its name
---   term          integer  term of the lock on polling it
---   sequence      integer  number of the snapshot, growing within a term
---   begun         integer  when the snapshot was begun (watch), ms
---   knows_shares  flag     whether the source reports what each server uses
---   keeps_missing flag     whether its hosts that the snapshot lacks stay in service
---   cause         string   what is wrong with the snapshot, in a word; '' for nothing
---   text          string   the same in a sentence
---   kept          strings  hosts that the source has but could not read: they stay as they are
---   digests       fields   every host in the snapshot, and the digest of its fields
---   reports       rows     a host whose fields may have changed; others are known by their digest
---     host        string   its name
---     fields      fields   its fields
---   shares        rows     a server's share of `used`
---     server      string   its name
---     used        amounts  <host>/<resource> and the amount that the server uses there
--- Returns
---   outcome       string   applied; old, if a newer one was applied; incomplete, if a host has to be in
---                          `reports`: then nothing was written
---   changed       integer  hosts changed
---   clashes       integer  hosts left alone, as they were published or another source reports them
--- Errors none
--- @include "base"
--- @include "batches"
--- @include "job"
--- @include "queue"
--- @include "seen"
--- @include "servers"

-- A server that no snapshot begun so long after it was named has shown is told to be unseen. Shorter tells it
-- of servers that the source is only slow to show.
local UNSEEN_MS = 60000

local record = key('source:' .. source)
local until_seen, settle = policy_value('holds') == 'until_seen', policy_number_of('settle')
local is_reported = {} -- host → true: the snapshot has it
local is_mine = {} -- host → true: this source may change it
local changed_hosts = {} -- host → true: its number grows
local unheld_members = {} -- running jobs of whose grant some may be unheld, the earlier ones first
local sightings = {} -- request_id → which of its servers no snapshot has shown yet, and whether for too long
local capacity_changed = false -- whether more than `used` changed: then what fits at all may have changed

local function is_newer()
  local last = redis.call('HMGET', record, 'term', 'sequence')
  local last_term, last_sequence = number_of(last[1], 0), number_of(last[2], -1)
  return term > last_term or (term == last_term and sequence > last_sequence)
end

-- Returns the digests of hosts that differ from what is stored, by host, how many hosts clash, and the
-- first that does.
local function compare_hosts()
  local new_digests, clashes, clashing = {}, 0, ''
  for i = 1, #digests, 2 do
    local host, digest = digests[i], digests[i + 1]
    local stored = redis.call('HMGET', key('host:' .. host), 'aggregates', 'dropped', 'source', 'digest')
    local exists, is_dropped, reported_by = stored[1], stored[2], stored[3]
    is_reported[host] = true
    if exists and not is_dropped and reported_by ~= source then
      clashes = clashes + 1
      clashing = clashes == 1 and host or clashing
    else
      is_mine[host] = true
      if is_dropped or reported_by ~= source or stored[4] ~= digest then
        new_digests[host] = digest
      end
    end
  end
  return new_digests, clashes, clashing
end

-- Returns the fields of the hosts to write, by host; nil if some of them are not in `reports`.
local function fields_of(new_digests)
  local fields_by_host = {}
  for _, report in ipairs(reports) do
    fields_by_host[report.host] = report.fields
  end
  for host in pairs(new_digests) do
    if not fields_by_host[host] then
      return nil
    end
  end
  return fields_by_host
end

-- Has the hosts to keep count as reported; returns how many of them this source has in service.
local function keep_hosts()
  local count = 0
  for _, host in ipairs(kept) do
    is_reported[host] = true
    local stored = redis.call('HMGET', key('host:' .. host), 'source', 'dropped')
    if stored[1] == source and not stored[2] then
      count = count + 1
    end
  end
  return count
end

-- Returns the hosts of this source that the snapshot lacks: host → whether it is in service until now.
local function find_missing()
  local missing = {}
  for _, host in ipairs(keeps_missing and {} or redis.call('ZRANGE', key('hosts'), 0, -1)) do
    if not is_reported[host] then
      local stored = redis.call('HMGET', key('host:' .. host), 'source', 'dropped')
      if stored[1] == source then
        is_mine[host] = true
        missing[host] = not stored[2]
      end
    end
  end
  return missing
end

-- Returns what a job's servers use, by <host>/<resource>, and the number of these fields. A server that the
-- snapshot does not have uses nothing: counting its use twice is safe, counting it nowhere oversells.
local function used_by(servers, used_by_server)
  local used, count = {}, 0
  for server in string.gmatch(servers, '%S+') do
    for field, amount in pairs(used_by_server[server] or {}) do
      count = count + (used[field] and 0 or 1)
      used[field] = (used[field] or 0) + amount
    end
  end
  return used, count
end

-- Returns whether the job's `seen` is equal to `used` already, as it is for most jobs of most snapshots.
local function is_up_to_date(request_id, used, count)
  if not used then
    return redis.call('EXISTS', key('holds:' .. request_id)) == 0
  end
  local seen = redis.pcall('HGETALL', key('seen:' .. request_id))
  for i = 1, #seen, 2 do
    if used[seen[i]] ~= tonumber(seen[i + 1]) then
      return false
    end
  end
  return #seen == 2 * count
end

-- Returns the part of `used` on hosts of this source.
local function on_my_hosts(used)
  local mine = {}
  for field, amount in pairs(used) do
    if is_mine[place_of(field)] then
      mine[field] = amount
    end
  end
  return mine
end

-- Plans what the snapshot changes of a job's servers that none has shown yet.
local function plan_sighting(request_id, job, used_by_server)
  local unseen, named, missed_by = job[4] or '', number_of(job[5], 0), job[6]
  if unseen ~= '' then
    local left = still_unseen(unseen, used_by_server)
    local is_missed = left ~= '' and named + UNSEEN_MS < begun
    if left ~= unseen or is_missed ~= (missed_by and true or false) then
      sightings[request_id] = { left = left, is_missed = is_missed }
    end
  end
end

-- Returns what is used of a job's grant, and the number of its fields; nil if all of it counts as seen.
local function use_of(request_id, used_by_server)
  local job = redis.pcall('HMGET', job_key(request_id), 'servers', 'running_since', 'updated', 'unseen', 'named',
    'missed_by')
  local servers = job[1]
  -- A job that runs since an earlier version has the wall clock's time only.
  local running_since = tonumber(job[2] or '') or number_of(job[3], 0) / 1000
  if until_seen and knows_shares and servers then
    plan_sighting(request_id, job, used_by_server)
    return used_by(servers, used_by_server)
  elseif until_seen and running_since > 0 and running_since + settle < begun then
    return nil, 0
  end
  return {}, 0
end

local function is_any_negative(amounts)
  for _, amount in pairs(amounts) do
    if amount < 0 then
      return true
    end
  end
  return false
end

-- Returns the changes of holds, by request_id. Without until_seen nothing counts as seen; then only the
-- seen amounts left by an earlier policy are removed.
local function plan_holds()
  local changes = {}
  for _, member in ipairs(redis.call('ZRANGE', key('unheld'), 0, -1)) do
    unheld_members[#unheld_members + 1] = member
  end
  if not until_seen and not redis.call('HGET', base, 'seen') then
    return changes
  end
  local used_by_server = {}
  for _, share in ipairs(shares) do
    used_by_server[share.server] = share.used
  end
  for _, member in ipairs(redis.call('ZRANGE', key('status:running'), 0, -1)) do
    local request_id = request_id_of(member)
    local used, count = use_of(request_id, used_by_server)
    if not is_up_to_date(request_id, used, count) then
      changes[request_id] = plan_seen(request_id, used and on_my_hosts(used), is_mine)
      if is_any_negative(changes[request_id]) then
        unheld_members[#unheld_members + 1] = member
      end
    end
  end
  return changes
end

local function is_used(field)
  return string.sub(field, 1, 5) == 'used:'
end

-- Writes the fields of a host that differ, and deletes those it has no more; its holds stay.
local function write_host(host, digest, fields)
  local name = key('host:' .. host)
  local flat, old = redis.call('HGETALL', name), {}
  for i = 1, #flat, 2 do
    old[flat[i]] = flat[i + 1]
  end
  local set, deleted = { 'source', source, 'digest', digest }, {}
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if old[field] ~= value then
      set[#set + 1] = field
      set[#set + 1] = value
      capacity_changed = capacity_changed or not is_used(field)
    end
    old[field] = nil
  end
  old.source, old.digest = nil, nil
  for field in pairs(old) do
    if string.sub(field, 1, 5) ~= 'held:' then
      deleted[#deleted + 1] = field
      capacity_changed = capacity_changed or not is_used(field)
    end
  end
  set_fields(name, set)
  delete_fields(name, deleted)
  note_mixed(host)
  changed_hosts[host] = true
end

local function retire_missing(missing)
  for host, in_service in pairs(missing) do
    if in_service then
      retire(host)
      redis.call('HSET', key('host:' .. host), 'source', source)
      changed_hosts[host], capacity_changed = true, true
    end
  end
end

local function write_holds(changes)
  for request_id, change in pairs(changes) do
    write_seen(request_id, change, changed_hosts)
  end
  for request_id, sighting in pairs(sightings) do
    local name = job_key(request_id)
    redis.call('HSET', name, 'unseen', sighting.left)
    if sighting.is_missed then
      redis.call('HSET', name, 'missed_by', source)
    else
      redis.call('HDEL', name, 'missed_by')
    end
  end
  if until_seen then
    redis.call('HSET', base, 'seen', '1')
  else
    redis.call('HDEL', base, 'seen')
  end
end

-- Holds again what the jobs' servers use no more, where there is room. Without until_seen all of it is held.
local function regain_holds()
  local is_done = {}
  for _, member in ipairs(unheld_members) do
    local request_id = request_id_of(member)
    if not is_done[member] then
      is_done[member] = true
      note_unheld(member, hold_again(request_id, changed_hosts, not until_seen), begun)
    end
  end
end

-- Returns how many hosts changed.
local function number_changed_hosts()
  local count = 0
  for host in pairs(changed_hosts) do
    count = count + 1
    touch_host(host)
  end
  return count
end

local function record_snapshot(host_count, clashes, clashing)
  redis.call('HSET', record, 'term', whole(term), 'sequence', whole(sequence), 'begun', whole(begun),
    'hosts', whole(host_count), 'clashes', whole(clashes), 'clashing', clashing)
  if cause == '' then
    redis.call('HDEL', record, 'cause', 'text')
  else
    redis.call('HSET', record, 'cause', cause, 'text', text)
  end
  redis.call('SADD', key('sources'), source)
  if capacity_changed then
    add_to(base, 'capacity_number', 1)
  end
end

-- 1. Refuse a snapshot that is not newer than the last, and one that lacks fields of a host.
if not is_newer() then
  return reply({ outcome = 'old', changed = 0, clashes = 0 })
end
local new_digests, clashes, clashing = compare_hosts()
local fields_by_host = fields_of(new_digests)
if not fields_by_host then
  return reply({ outcome = 'incomplete', changed = 0, clashes = 0 })
end

-- 2. Plan, before anything is written.
local kept_count = keep_hosts()
local missing = find_missing()
local changes = plan_holds()

-- 3. Write the hosts.
for host, digest in pairs(new_digests) do
  write_host(host, digest, fields_by_host[host])
end
retire_missing(missing)

-- 4. Write the holds that shrink.
write_holds(changes)

-- 5. End the releases from before the snapshot: it shows what runs there instead.
local ended = end_releases(function(host)
  return is_mine[host]
end, whole(begun))

-- 6. Let holds grow into the room that there is now.
regain_holds()
local changed = number_changed_hosts()
for host in pairs(missing) do
  forget_if_empty(host)
end

-- 7. Record the snapshot, and wake the granters after a change.
record_snapshot(#digests / 2 - clashes + kept_count, clashes, clashing)
if changed > 0 or ended then
  wake('grant')
end
return reply({ outcome = 'applied', changed = changed, clashes = clashes })
