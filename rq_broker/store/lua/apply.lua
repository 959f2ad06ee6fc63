--- Apply one snapshot of a source: its hosts, what they have, what is used there and by whom.
--- Keeps: an older snapshot never overwrites a newer; hosts published otherwise, or by another
---   source, are not touched; a host counts as changed only where it did; `used` and the holds it
---   takes over change in this one step. A quiet host costs one read and a quiet running job two, so
---   thousands of each fit in a call.
--- KEYS[1] base
--- ARGV[1] source
--- ARGV[2] term of the turn to poll it
--- ARGV[3] sequence, which grows within a term
--- ARGV[4] when it was begun (watch), ms
--- ARGV[5] '1' when the source can tell what servers have, or ''
--- ARGV[6] how many hosts
--- ARGV[7…] a host: name, digest of its fields, how many follow (none when the caller believes them
---   known), field, value, …; after them a server: name, how many follow, host/resource, amount, …
--- Returns {hosts changed, hosts left to others}; {} for a snapshot that is not newer, {'UNKNOWN'} when
---   a host must be told in full: then nothing is changed
--- Errors none
--- @include "base"
--- @include "job"
--- @include "queue"
--- @include "seen"

local source, term, sequence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local begun, tells, count = tonumber(ARGV[4]), ARGV[5] == '1', tonumber(ARGV[6])

local record = key('source:' .. source)
local last = redis.call('HMGET', record, 'term', 'sequence')
local last_term = tonumber(last[1] or '0')
if term < last_term or (term == last_term and sequence <= tonumber(last[2] or '-1')) then
  return {}
end

local listed, mine, touched, clashes, capacity = {}, {}, {}, 0, false

-- Calls `visit` with each host, its digest, and where its pairs begin and end; returns what follows.
local function each_host(visit)
  local at = 7
  for _ = 1, count do
    local after = at + 3 + 2 * tonumber(ARGV[at + 2])
    visit(ARGV[at], ARGV[at + 1], at + 3, after)
    at = after
  end
  return at
end

local unknown, news = false, {}
local at = each_host(function(host, digest, first, after)
  local known = redis.call('HMGET', key('host:' .. host), 'aggregates', 'dropped', 'source', 'digest')
  listed[host] = true
  if known[1] and not known[2] and known[3] ~= source then
    clashes = clashes + 1
    return
  end
  mine[host] = true
  if known[3] ~= source or known[2] or known[4] ~= digest then
    news[host] = true
    unknown = unknown or first == after
  end
end)
if unknown then
  return { 'UNKNOWN' }
end

local function report(host, digest, first, after)
  local name, old = key('host:' .. host), {}
  local flat = redis.call('HGETALL', name)
  for i = 1, #flat, 2 do
    old[flat[i]] = flat[i + 1]
  end
  redis.call('HSET', name, 'source', source, 'digest', digest)
  touched[host] = true
  for i = first, after - 1, 2 do
    if old[ARGV[i]] ~= ARGV[i + 1] then
      redis.call('HSET', name, ARGV[i], ARGV[i + 1])
      capacity = capacity or string.sub(ARGV[i], 1, 5) ~= 'used:'
    end
    old[ARGV[i]] = nil
  end
  old.source, old.digest = nil, nil
  for field in pairs(old) do
    if string.sub(field, 1, 5) ~= 'held:' then
      redis.call('HDEL', name, field)
      capacity = capacity or string.sub(field, 1, 5) ~= 'used:'
    end
  end
end

each_host(function(host, digest, first, after)
  if news[host] then
    report(host, digest, first, after)
  end
end)

local gone = {}
for _, host in ipairs(redis.call('ZRANGE', key('hosts'), 0, -1)) do
  if not listed[host] then
    local about = redis.call('HMGET', key('host:' .. host), 'source', 'dropped')
    if about[1] == source then
      mine[host] = true
      gone[#gone + 1] = host
      if not about[2] then
        retire(host)
        redis.call('HSET', key('host:' .. host), 'source', source)
        touched[host], capacity = true, true
      end
    end
  end
end

local servers = {}
while at <= #ARGV do
  servers[ARGV[at]] = at
  at = at + 2 + 2 * tonumber(ARGV[at + 1])
end

-- What servers have, by host/resource, and in how many of these. A server this snapshot was not asked
-- for counts as one that has nothing: held twice for a while is safe, held by nobody is not.
local function used_by(names)
  local used, fields = {}, 0
  for server in string.gmatch(names, '%S+') do
    local first = servers[server]
    for i = first and first + 2 or 1, first and first + 2 * ARGV[first + 1] or 0, 2 do
      local field = ARGV[i]
      fields = fields + (used[field] and 0 or 1)
      used[field] = (used[field] or 0) + ARGV[i + 1]
    end
  end
  return used, fields
end

-- Whether this is what is seen of a job already, all of its grant where `used` is nil: then nothing
-- is to be done, and most jobs of most snapshots cost no more than this look.
local function is_seen(request_id, used, fields)
  if not used then
    return redis.call('EXISTS', key('holds:' .. request_id)) == 0
  end
  local seen = redis.call('HGETALL', key('seen:' .. request_id))
  for i = 1, #seen, 2 do
    if used[seen[i]] ~= tonumber(seen[i + 1]) then
      return false
    end
  end
  return #seen == 2 * fields
end

local function of_mine(used)
  local found = {}
  for field, amount in pairs(used) do
    if mine[string.match(field, '^(.-)/')] then
      found[field] = amount
    end
  end
  return found
end

local until_seen, settle = policy_value('holds') == 'until_seen', tonumber(policy_value('settle'))
if until_seen or redis.call('HGET', base, 'seen') then
  for _, member in ipairs(redis.call('ZRANGE', key('status:running'), 0, -1)) do
    local request_id = request_id_of(member)
    local about = redis.call('HMGET', job_key(request_id), 'servers', 'updated')
    local used, fields = {}, 0
    if until_seen and tells and about[1] then
      used, fields = used_by(about[1])
    elseif until_seen and tonumber(about[2] or '') and about[2] / 1000 + settle < begun then
      used = nil
    end
    if not is_seen(request_id, used, fields) then
      see(request_id, mine, used and of_mine(used), touched)
    end
  end
  if until_seen then
    redis.call('HSET', base, 'seen', '1')
  else
    redis.call('HDEL', base, 'seen')
  end
end

local number = 0
for host in pairs(touched) do
  number = number + 1
  touch_host(host)
end
local parted = end_releases(function(host)
  return mine[host]
end, whole(begun))
for _, host in ipairs(gone) do
  forget_if_empty(host)
end
redis.call('HSET', record, 'term', whole(term), 'sequence', whole(sequence), 'begun', whole(begun),
  'hosts', count - clashes, 'clashes', clashes)
redis.call('HDEL', record, 'cause', 'text')
redis.call('SADD', key('sources'), source)
if capacity then
  redis.call('HINCRBY', base, 'capacity_number', 1)
end
if number > 0 or parted then
  wake('grant')
end
return { number, clashes }
