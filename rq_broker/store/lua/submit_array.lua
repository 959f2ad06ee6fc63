--- Store one step of an array: up to 1,000 of its jobs, or check whether they could be.
--- Keeps: as submit; a step is stored whole or not at all, and once: repeated, it changes nothing. Without the
---   steps before it none is stored.
--- KEYS[1] base
--- ARGV
---   array            string    the array's name; it begins with the owner where names are per owner
---   per_owner        flag      names are per owner, as the caller read the policy
---   start            integer   index of the step's first job
---   size             integer   how many jobs the array has in all
---   only_check       flag      write nothing
---   owner_id         string    the jobs' owner
---   submission       string    digest of all that the submit says
---   submit_key       string?   digest of the owner and its idempotency key; not given: the submit has none
---   priority         decimal?  the priority of all jobs; if not given, the next tick of the type's clock
---   expected         integer?  how long each says it will hold, ms
---   at_once          integer?  how many of its jobs may hold capacity at a time
---   kinds            integer   how many amounts the demand of a job lists at most
---   prefer_for       integer?  as of submit
---   terms            fields    as of submit
---   after            strings   as of submit, with the owner where names are per owner
---   owners           strings   whose jobs the caller may name; none: anybody's
---   shapes           rows      what the step's jobs stand for, each once
---     shape          string    its digest
---     demand         string    the shape, canonical JSON
---   jobs             rows      the step's jobs, by index
---     callback       string?   digest of the callback; not given: it has none
---     shape          integer   which of the shapes, from 1
---     fields         fields    fields of the job hash, folded: callback and data, and of a submit that
---                               names them http_request_id, traceparent and tracestate
--- Returns
---   is_new           flag      whether this call stored the step
---   id               integer   ID of its last job; 0 if nothing is stored
---   incarnation      string    the life of the type's state; '' likewise
---   capacity_number  string    number of the type's last change of capacity
--- Errors TOO_MANY_KINDS, EXPECTED_TOO_LONG, DUPLICATE_REQUEST_ID, DUPLICATE_CALLBACK, IDEMPOTENCY_KEY_REUSED,
---   UNKNOWN_DEPENDENCY, DEPENDENCY_FAILED, CONFLICT, QUEUE_FULL
--- Audit the array as a whole, by the verb submit; owner_id, priority, and how many jobs the step has
--- @include "base"
--- @include "audit_log"
--- @include "batches"
--- @include "wall"
--- @include "owned"
--- @include "array"
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

local record, whole_name = array_key(array), array .. '[*]'
local shown_name = request_id_in(whole_name)

local function name_of(place)
  return array .. '[' .. whole(start + place - 1) .. ']'
end

local counters = read_policy({ 'names', 'most_kinds', unpack(QUEUE_LIMITS) },
  { 'id', 'clock', 'capacity_number', 'incarnation' })
if (policy_value('names') == 'per_owner') ~= per_owner then
  return redis.error_reply('CONFLICT the policy of names was changed meanwhile')
end

-- 1. A step that is stored stays as it is; one of another submit is refused.
local f = redis.pcall('HMGET', record, 'submission', 'submit_key', 'priority', 'first:' .. whole(start))
local stored_submission, stored_key, stored_priority, first_id = f[1], f[2], f[3], f[4]
if stored_submission and stored_submission ~= submission then
  if submit_key and stored_key == submit_key then
    return redis.error_reply('IDEMPOTENCY_KEY_REUSED the Idempotency-Key was used for ' .. shown_name .. ' with another body')
  end
  return redis.error_reply('DUPLICATE_REQUEST_ID the array ' .. shown_name .. ' is there already, with another submit')
elseif first_id then
  return reply({ is_new = false, id = 0, incarnation = '', capacity_number = counters[3] or '0' })
elseif not stored_submission and start > 0 and not only_check then
  return redis.error_reply('CONFLICT the array ' .. shown_name .. ' was withdrawn while it was submitted')
end

-- 2. What submit refuses is refused.
local submit_keys, key_rest = index_entry('submit_keys', submit_key or '')
local used_by = submit_key and redis.call('HGET', submit_keys, key_rest)
local refusal = refuse_used_key(used_by ~= whole_name and used_by)
  or refuse_kinds(kinds, policy_number_of('most_kinds')) or expected and refuse_expected(expected)
if refusal then
  return refusal
end
local sizes, bytes = {}, 0
for place, job in ipairs(jobs) do
  local name = name_of(place)
  sizes[place] = #name + #owner_id + #shapes[job.shape].demand + bytes_of(job.fields, terms, after)
  bytes = bytes + sizes[place]
  if redis.call('EXISTS', job_key(name)) == 1 then
    return redis.error_reply('DUPLICATE_REQUEST_ID request_id ' .. request_id_in(name) .. ' ' .. is_taken(name))
  end
  local callbacks, rest = index_entry('callbacks', job.callback or '')
  local taken_by = job.callback and redis.call('HGET', callbacks, rest)
  if taken_by then
    return redis.error_reply('DUPLICATE_CALLBACK the callback of ' .. request_id_in(name) .. ' ' .. is_taken(name) .. ' by '
      .. named_job(taken_by, owners))
  end
end
local own_terms = (#terms > 0 or #after > 0) and read_terms(terms, after, owners)
if own_terms and own_terms.refusal then
  return own_terms.refusal
end
local is_beside = own_terms and own_terms.is_beside
-- The array is admitted as a whole, by its first step; its jobs are about of one size.
local full = start == 0 and refuse_full(owner_id, size, math.ceil(bytes / #jobs * size))
if full then
  return full
end
local last_id = number_of(counters[1] or '0')
if not last_id then
  return refuse_damaged_counter()
end
if only_check then
  return reply({ is_new = false, id = 0, incarnation = '', capacity_number = counters[3] or '0' })
end

-- 3. All jobs of the array have the priority of the first: they stand together, by their IDs. Nothing is written
-- before this line, and nothing below it can fail.
local created, incarnation = wall_us(), counters[4] or new_incarnation()
local is_own = priority ~= nil
priority = stored_priority or priority or default_priority(created, counters[2])
if not is_own and not stored_priority then
  redis.call('HSET', base, 'clock', priority)
end
redis.call('HSET', base, 'id', whole(last_id + #jobs), 'incarnation', incarnation)
if not stored_submission then
  redis.call('HSET', record, 'count', whole(size), 'owner', owner_id, 'submission', submission, 'priority', priority,
    'created', whole(created))
  if at_once then
    redis.call('HSET', record, 'at_once', whole(at_once))
  end
  keep_submit_key(record, whole_name, submit_key)
  forget_withdrawal(whole_name, owner_id)
end
redis.call('HSET', record, 'first:' .. whole(start), whole(last_id + 1))
add_to(record, 'left', #jobs)

-- 4. Store each job: its hash, and what it waits for.
local names, entries, entries_by_shape = {}, {}, {}
for place, job in ipairs(jobs) do
  local name, id = name_of(place), whole(last_id + place)
  local member, hash = member_of(id, name), job_key(name)
  if job.callback then
    local callbacks, rest = index_entry('callbacks', job.callback)
    redis.call('HSET', callbacks, rest, name)
  end
  redis.call('HSET', hash, 'id', id, 'owner', owner_id, 'status', is_beside and 'beside' or 'queued',
    'shape', shapes[job.shape].shape, 'created', whole(created), 'bytes', whole(sizes[place]),
    unpack(job.fields, 1, math.min(#job.fields, BATCH)))
  set_fields(hash, job.fields, BATCH + 1)
  if expected then
    redis.call('HSET', hash, 'expected', whole(expected))
  end
  if at_once then
    redis.call('HSET', hash, 'at_once', whole(at_once))
  end
  if prefer_for then
    prefer_until(member, hash, now_ms() + prefer_for)
  end
  if own_terms then
    write_terms(own_terms, hash, member, shapes[job.shape].demand)
  end
  names[2 * place - 1], names[2 * place] = name, owned_name(name, owner_id)
  local of_shape = entries_by_shape[job.shape] or {}
  entries_by_shape[job.shape] = of_shape
  for _, flat in ipairs({ entries, of_shape }) do
    flat[#flat + 1] = priority
    flat[#flat + 1] = member
  end
end

-- 5. Enter them in the indexes, many with one command.
add_members(key('owner:' .. owner_id), entries)
add_members(key(is_beside and 'status:beside' or 'status:queued'), entries)
remove_members(key('withdrawn'), names)
for i = 2, is_own and #entries or 0, 2 do
  redis.call('SADD', key('own_priority'), entries[i])
end
for number, of_shape in pairs(not is_beside and entries_by_shape or {}) do
  join_shape_together(of_shape, shapes[number].shape, shapes[number].demand)
end
count_waiting(owner_id, #jobs)
count_bytes(owner_id, bytes)
record_event({ request_id = whole_name, id = whole(last_id + 1), owner = owner_id }, '',
  is_beside and 'beside' or 'queued', 'jobs', whole(#jobs))
record_audit(actor, 'submit', whole_name, nil,
  { 'owner_id', owner_id, 'status', 'queued', 'priority', tonumber(priority), 'jobs', #jobs })
return reply({
  is_new = true,
  id = last_id + #jobs,
  incarnation = incarnation,
  capacity_number = counters[3] or '0',
})
