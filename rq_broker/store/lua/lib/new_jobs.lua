--- New jobs: what submit does for one, and submit_many for each of several.
--- Keeps: each job is stored, or refused, as if it were alone behind those before it in the call. What the jobs share is
---   read once. Their hashes, names and events are written one by one; the sets and counters that have all of them,
---   which nothing here reads meanwhile, once at the end.
--- @include "base"
--- @include "audit_log"
--- @include "batches"
--- @include "wall"
--- @include "owned"
--- @include "queue"
--- @include "terms"
--- @include "digests"
--- @include "withdrawn"
--- @include "submitting"
--- @include "submit_key"
--- @include "expected"
--- @include "incarnation"
--- @include "queue_use"
--- @include "preference"

local MOST_SUBMITS = 100 -- jobs of one call: some 2 ms, in which Redis serves nobody else

local shared = {} -- what the jobs of this call share; see begin_submits
local entered = {} -- the jobs that it stored
local names_taken = {} -- name → true, of these; `is_any_taken` of shared tells of jobs that were there before

-- Refuses a call of more jobs than Lua's `unpack` takes, or that would keep others waiting; or of none.
local function refuse_count(jobs)
  if #jobs == 0 or #jobs > MOST_SUBMITS then
    return redis.error_reply('ERR a call has 1 to ' .. MOST_SUBMITS .. ' jobs')
  end
end

-- Reads what all submits of a type read; `keep_clock` takes the last two.
local function read_counters()
  local values = redis.call('HMGET', base, 'id', 'clock', 'capacity_number', 'incarnation', 'audit_ends', 'bytes',
    'clock_offset', 'clock_latest', 'policy:names', 'policy:most_kinds', 'policy:audit_log', 'policy:queue_limits',
    'policy:most_waiting', 'policy:most_bytes') -- names made of parts cost more
  note_policy({ 'names', 'most_kinds', 'audit_log', 'queue_limits', 'most_waiting', 'most_bytes' }, values, 8)
  return values
end

-- Gives jobs the names by which the type knows them, see store/keys.py, and looks whether any is taken.
local function begin_submits(counters, jobs)
  local names, is_per_owner = {}, policy_value('names') == 'per_owner'
  for i, job in ipairs(jobs) do
    if is_per_owner then
      local prefix, after = job.owner_id .. '/', job.after
      job.request_id, job.callback = prefix .. job.request_id, job.own_callback
      for place, awaited in ipairs(after) do
        after[place] = prefix .. awaited
      end
    end
    job.name = job_key(job.request_id)
    names[i - 1] = job.name -- of all but the first
  end
  local name = jobs[1].name
  shared = {
    last_id = number_of(counters[1] or '0'), clock = counters[2], capacity_number = counters[3] or '0',
    incarnation = counters[4] or new_incarnation(), bytes = number_of(counters[6] or '0'),
    audit = { policy_value('audit_log'), counters[5] }, most_kinds = policy_number_of('most_kinds'),
    is_any_taken = redis.call('EXISTS', name, unpack(names)) > 0,
    created = wall_us(), created_text = whole(wall_us()),
  }
end

-- Returns the error that refuses a job before its callback is looked at; nil if there is none.
local function refuse_job(job)
  local name = job.name
  if names_taken[name] or shared.is_any_taken and redis.call('EXISTS', name) == 1 then
    return redis.error_reply('DUPLICATE_REQUEST_ID request_id ' .. is_taken(job.request_id))
  end
  local used_by
  if job.submit_key then
    local submit_keys, rest = index_entry('submit_keys', job.submit_key)
    used_by = redis.pcall('HGET', submit_keys, rest)
    if type(used_by) == 'table' then -- a key of another kind, which concerns this job alone
      return used_by
    end
  end
  return used_by and refuse_used_key(used_by) or refuse_kinds(job.kinds, shared.most_kinds)
    or job.expected and refuse_expected(job.expected)
end

-- Returns the error that refuses a job if its callback is free; nil if there is none. A taken callback is told first.
local function refuse_unless_taken(job)
  job.bytes = #job.request_id + #job.owner_id + #job.demand + bytes_of(job.fields, job.terms, job.after)
  if #job.terms > 0 or #job.after > 0 then
    job.own_terms = read_terms(job.terms, job.after, job.owners)
    job.is_beside = job.own_terms.is_beside
  end
  return job.own_terms and job.own_terms.refusal or refuse_full(job.owner_id, 1, job.bytes)
    or not shared.last_id and refuse_damaged_counter()
end

-- Gives a job its callback, unless that is taken, or it is refused anyhow. Returns the error that refuses it.
local function take_callback(job, refusal)
  if not job.callback then
    return refusal
  end
  local callbacks, rest = index_entry('callbacks', job.callback)
  local is_free
  if refusal then
    is_free = redis.pcall('HEXISTS', callbacks, rest)
  else
    is_free = redis.pcall('HSETNX', callbacks, rest, job.request_id)
  end
  if type(is_free) == 'table' then -- a key of another kind, which concerns this job alone
    return is_free
  elseif is_free == (refusal and 1 or 0) then
    return redis.error_reply('DUPLICATE_CALLBACK callback ' .. is_taken(job.request_id) .. ' by '
      .. named_job(redis.call('HGET', callbacks, rest), job.owners))
  end
  return refusal
end

-- Writes the line of the audit log, in one piece: this is what runs most.
local function record_submit(actor, job, priority)
  local data_bytes, fields, expected = 0, job.fields, job.expected
  for i = 1, #fields, 2 do
    if string.match(fields[i], '^data%d*$') then
      data_bytes = data_bytes + #fields[i + 1]
    end
  end
  record_audit(actor, 'submit', job.request_id, nil, '{"owner_id":' .. audit_json(job.owner_id)
    .. ',"status":"queued","priority":' .. whole(priority) .. ',"data_bytes":' .. data_bytes
    .. (expected and ',"expected":' .. expected / 1000 or '') .. '}', shared.audit)
  shared.audit[2] = nil -- the first line makes a type that was forgotten one that is used
end

local function store_job(job)
  local id = whole(shared.last_id + 1)
  local member = member_of(id, job.request_id)
  shared.last_id, job.id, job.member, job.owner = shared.last_id + 1, id, member, job.owner_id
  job.has_priority = job.priority ~= nil
  if not job.has_priority then
    shared.clock = default_priority(shared.created, shared.clock)
    job.priority, shared.is_clock_new = shared.clock, true
  end
  local name, fields, status = job.name, job.fields, job.is_beside and 'beside' or 'queued'
  redis.call('HSET', name, 'id', id, 'owner', job.owner_id, 'status', status, 'shape', job.shape,
    'created', shared.created_text, 'bytes', whole(job.bytes), unpack(fields, 1, math.min(#fields, BATCH)))
  if #fields > BATCH then
    set_fields(name, fields, BATCH + 1)
  end
  if job.expected then
    redis.call('HSET', name, 'expected', whole(job.expected))
  end
  if job.submit_key then
    keep_submit_key(name, job.request_id, job.submit_key)
  end
  if job.own_terms then
    write_terms(job.own_terms, name, member, job.demand)
  end
  if job.prefer_for then
    prefer_until(member, name, now_ms() + job.prefer_for)
  end
  record_event(job, '', status)
  if job.actor and shared.audit[1] ~= '0' then
    record_submit(job.actor, job, job.priority)
  end
end

-- Stores a job. Nothing is written of it before its callback is taken, and nothing below that can fail; of two
-- refusals that of the callback is told. Returns the error that refuses it, nil if it is stored.
local function submit_job(job)
  local refusal = refuse_job(job) or take_callback(job, refuse_unless_taken(job))
  if refusal then
    return refusal
  end
  store_job(job)
end

-- Notes for the jobs behind it that a job is stored, and for `enter_jobs`.
local function note_stored(job)
  names_taken[job.name] = true
  take_use(job.owner_id, job.bytes)
  entered[#entered + 1] = job
end

-- Adds a score and a member to one of several lists, of which each is for a set of its own.
local function list_entry(lists, name, job)
  local flat = lists[name]
  if flat then
    flat[#flat + 1] = job.priority
    flat[#flat + 1] = job.member
  else
    lists[name] = { job.priority, job.member }
  end
end

-- Notes of a shape what `lower_heads` takes.
local function note_shape(shapes, job)
  local noted = shapes[job.shape]
  if not noted then
    shapes[job.shape] = { priority = job.priority, demand = job.demand, has_priority = job.has_priority }
  elseif (job.has_priority or noted.has_priority) and tonumber(job.priority) < tonumber(noted.priority) then
    noted.priority, noted.has_priority = job.priority, job.has_priority
  end
end

-- Finds the place in the queue of each job. Jobs with the priorities of the clock are in order: where no other stands
-- between the first and the last, those two tell all places.
local function find_positions(jobs, is_in_order)
  if #jobs == 0 then
    return
  end
  local queued, count = key('status:queued'), #jobs
  local first = redis.call('ZRANK', queued, jobs[1].member) + 1
  local is_row = count == 1 or is_in_order and redis.call('ZRANK', queued, jobs[count].member) == first + count - 2
  for i, job in ipairs(jobs) do
    job.position = is_row and first + i - 1 or redis.call('ZRANK', queued, job.member) + 1
  end
end

-- Enters a job that is alone in its call. What `enter_jobs` does costs Redis 8 % more for one.
local function enter_job(job)
  local member, priority, request_id, owner = job.member, job.priority, job.request_id, job.owner_id
  redis.call('ZADD', key('owner:' .. owner), priority, member)
  redis.call('ZREM', key('withdrawn'), request_id, owned_name(request_id, owner))
  if job.has_priority then
    redis.call('SADD', key('own_priority'), member)
  end
  if job.is_beside then
    redis.call('ZADD', key('status:beside'), priority, member)
  else
    join_queue(member, priority, job.shape, job.demand)
    job.position = redis.call('ZRANK', key('status:queued'), member) + 1
  end
  count_waiting(owner, 1)
  add_use('bytes', owner, job.bytes)
end

-- Enters the jobs in the sets that have several of them.
local function enter_jobs()
  local by_owner, by_shape, by_status = {}, {}, {}
  local names, members, queued, shapes = {}, {}, {}, {}
  for _, job in ipairs(entered) do
    list_entry(by_owner, job.owner_id, job)
    names[#names + 1] = job.request_id
    names[#names + 1] = owned_name(job.request_id, job.owner_id)
    if job.has_priority then
      members[#members + 1] = job.member
    end
    if job.is_beside then
      list_entry(by_status, 'beside', job)
    else
      list_entry(by_status, 'queued', job)
      list_entry(by_shape, job.shape, job)
      queued[#queued + 1] = job
      note_shape(shapes, job)
    end
  end
  for owner, flat in pairs(by_owner) do
    add_members(key('owner:' .. owner), flat)
  end
  for status, flat in pairs(by_status) do
    add_members(key('status:' .. status), flat)
  end
  for shape, flat in pairs(by_shape) do
    add_members(key('shape:' .. shape), flat)
  end
  remove_members(key('withdrawn'), names)
  if #members > 0 then
    redis.call('SADD', key('own_priority'), unpack(members))
  end
  lower_heads(shapes)
  find_positions(queued, #members == 0)
  count_taken()
end

-- Writes what all jobs of the call change once in the base hash. `bytes`: what they take.
local function write_counters(bytes)
  local changes = { 'id', whole(shared.last_id), 'incarnation', shared.incarnation }
  if shared.is_clock_new then
    changes[5], changes[6] = 'clock', shared.clock
  end
  if shared.bytes then -- a damaged one stays as it is, as in add_to
    changes[#changes + 1], changes[#changes + 2] = 'bytes', whole(shared.bytes + bytes)
  end
  redis.call('HSET', base, unpack(changes))
end
