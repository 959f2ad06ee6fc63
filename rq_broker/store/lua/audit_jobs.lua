--- Read a page of the jobs that one status lists, with all that the audit compares of each.
--- Keeps: nothing is written; all of a page is read at one instant; the cost of a page does not depend on
---   what the jobs' data or the queue hold.
--- KEYS[1] base
--- ARGV
---   status      string   the status
---   priority    string   priority of the last job of the page before; '' for the first page
---   after       string   its member
---   count       integer  jobs to read
---   is_random   flag     choose them at random instead
---   members     strings  read these instead
--- Returns
---   jobs        rows     a job, in the order of the set
---     member    string   as the set lists it
---     priority  string   its score there; '' where the set does not list it
---     by_owner  string   its score in the set of its owner; '' where it is not there
---     by_shape  string   the same in the set of its shape
---     fields    fields   what its hash says, but for its data
---     places    strings  sets that have its callback: deliveries, prompt, parked
---     indexes   strings  those that have the job: deadlines, own_priority, passed, forecasts
---     holds     fields   what it holds
---     seen      fields   what of its grant a source counts as used
--- Errors none
--- @include "base"
--- @include "job"

local SHORT = 64 -- longer data stays whole in its hash and is not read
local FIELDS = { 'id', 'owner', 'status', 'shape', 'created', 'fence', 'hosts', 'demand', 'destination',
  'expected', 'predicted', 'callback' } -- and the further pieces of the callback
for piece = 2, 10 do
  FIELDS[#FIELDS + 1] = 'callback' .. piece
end

local set = key('status:' .. status)

-- Returns the rank at which the page begins: behind the last job of the page before, whether or not that
-- is still there.
local function first_rank()
  if priority == '' then
    return 0
  end
  local rank = redis.call('ZSCORE', set, after) == priority and redis.call('ZRANK', set, after)
  if rank then
    return rank + 1
  end
  -- Among the members of this priority, bisect for the first one behind `after`.
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. priority)
  local high = low + redis.call('ZCOUNT', set, priority, priority)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', set, middle, middle)[1] <= after then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Returns members and their scores, flat.
local function listed()
  if #members > 0 then
    local flat = {}
    for _, member in ipairs(members) do
      flat[#flat + 1] = member
      flat[#flat + 1] = redis.call('ZSCORE', set, member) or ''
    end
    return flat
  elseif is_random then
    return redis.call('ZRANDMEMBER', set, whole(count), 'WITHSCORES')
  end
  local rank = first_rank()
  return redis.call('ZRANGE', set, whole(rank), whole(rank + count - 1), 'WITHSCORES')
end

-- Returns the fields of a hash; none where there is no hash, or another kind of value.
local function fields_of(name)
  local fields = redis.pcall('HGETALL', name)
  return fields.err and {} or fields
end

local is_read = {}
for _, field in ipairs(FIELDS) do
  is_read[field] = true
end

-- Returns what the hash of a job says, as a flat list, with its owner, shape and destination.
local function read_job(name)
  local flat, by_name = {}, {}
  local function add(field, value)
    flat[#flat + 1] = field
    flat[#flat + 1] = value
    if field == 'owner' or field == 'shape' or field == 'destination' then
      by_name[field] = value
    end
  end
  local length = tonumber(redis.pcall('HSTRLEN', name, 'data'))
  if length and length > SHORT then
    for i, value in ipairs(redis.call('HMGET', name, unpack(FIELDS))) do
      if value then
        add(FIELDS[i], value)
      end
    end
  else
    local fields = fields_of(name)
    for i = 1, #fields, 2 do
      if is_read[fields[i]] then
        add(fields[i], fields[i + 1])
      end
    end
  end
  return flat, by_name.owner or '', by_name.shape or '', by_name.destination or ''
end

local function score(name, member)
  local found = redis.pcall('ZSCORE', key(name), member)
  return found and not found.err and found or nil
end

-- Returns those of some keys that exist.
local function existing(names)
  local found = {}
  for _, name in ipairs(names) do
    if redis.call('EXISTS', key(name)) == 1 then
      found[#found + 1] = name
    end
  end
  return found
end

local due = existing({ 'deliveries', 'prompt' })
local present = existing({ 'deadlines', 'own_priority', 'passed', 'forecasts' })

local function places_of(member, receiver)
  local places = {}
  for _, name in ipairs(due) do
    if score(name, member) then
      places[#places + 1] = name
    end
  end
  if score('parked:' .. receiver, member) then
    places[#places + 1] = 'parked'
  end
  return places
end

local function indexes_of(member)
  local names = {}
  for _, name in ipairs(present) do
    local found
    if name == 'deadlines' then
      found = score(name, member)
    elseif name == 'own_priority' then
      found = redis.pcall('SISMEMBER', key(name), member) == 1
    else
      found = redis.pcall('HEXISTS', key(name), member) == 1
    end
    if found then
      names[#names + 1] = name
    end
  end
  return names
end

local jobs, flat = {}, listed()
for i = 1, #flat, 2 do
  local member = flat[i]
  local request_id = request_id_of(member)
  local fields, owner, shape, destination = read_job(job_key(request_id))
  local holds, seen = key('holds:' .. request_id), key('seen:' .. request_id)
  local holds_any = redis.call('EXISTS', holds, seen) > 0
  jobs[#jobs + 1] = {
    member = member,
    priority = flat[i + 1],
    by_owner = score('owner:' .. owner, member) or '',
    by_shape = score('shape:' .. shape, member) or '',
    fields = fields,
    places = places_of(member, receiver_of(destination, owner)),
    indexes = #present > 0 and indexes_of(member) or {},
    holds = holds_any and fields_of(holds) or {},
    seen = holds_any and fields_of(seen) or {},
  }
end
return reply({ jobs = jobs })
