--- Put a new job in the queue.
--- Keeps: request_id and callback are unique in the type, or for their owner where the policy's `names` says
---   so; the key of a submit is unique for its owner; a refused submit writes nothing. A refusal names no job
---   of an owner that the caller may not name.
--- KEYS[1] base
--- ARGV
---   request_id       string    the client's name for the job
---   owner_id         string    the job's owner
---   callback         string?   digest of the callback, 16 characters (keys.digest); not given: it has none
---   own_callback     string?   digest of the callback as its owner has it, where names are per owner; likewise
---   submit_key       string?   digest of the owner and its idempotency key, 16 characters; not given:
---                              the submit has none
---   priority         decimal?  if not given, the next tick of the type's clock
---   expected         integer?  how long it says it will hold, ms
---   shape            string    digest of `demand`, 16 characters (keys.digest)
---   demand           string    the shape, canonical JSON (Shape.canonical)
---   kinds            integer   how many amounts the demand lists, those of equal instances once
---   prefer_for       integer?  ms from now on in which none of its alternatives will do; not given: they
---                              do at once, or it has none
---   fields           fields    fields of the job hash, folded: callback, empty for none, and data; and of a
---                                 submit that names them http_request_id, traceparent and tracestate
---   terms            fields    the job's own terms, as in its hash: not_before, give_up_after and hold_at_most,
---                              ms; after_any, 1
---   after            strings   request_ids of the jobs for which it waits
---   owners           strings   whose jobs the caller may name; none: anybody's
--- Returns
---   id               integer   the job's ID
---   created          integer   time of the submit, µs since 1970
---   priority         integer   the job's priority
---   position         integer?  its place in the queue, 1 = next; not given while it waits beside the line
---   capacity_number  string    number of the type's last change of capacity
---   incarnation      string    the life of the type's state, see lib/incarnation
---   left             integer   for how many jobs it waits beside the line
--- Errors TOO_MANY_KINDS, EXPECTED_TOO_LONG, DUPLICATE_REQUEST_ID, DUPLICATE_CALLBACK, IDEMPOTENCY_KEY_REUSED,
---   UNKNOWN_DEPENDENCY, DEPENDENCY_FAILED, QUEUE_FULL
--- Audit the request_id; owner_id, status, priority, expected in seconds, and how many bytes its data has
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

local counters = read_policy({ 'names', 'most_kinds', 'audit_log', unpack(QUEUE_LIMITS) },
  { 'id', 'clock', 'capacity_number', 'incarnation', 'audit_ends', 'bytes', 'clock_offset', 'clock_latest' })
if not keep_clock(believed, { counters[7], counters[8] }) then
  return clock_in_doubt()
end
switch_off() -- no more is written than the time, see lib/guard
if policy_value('names') == 'per_owner' then -- see store/keys.py
  request_id, callback = owner_id .. '/' .. request_id, own_callback
  for i, awaited in ipairs(after) do
    after[i] = owner_id .. '/' .. awaited
  end
end
local name = job_key(request_id)
if redis.call('EXISTS', name) == 1 then
  return redis.error_reply('DUPLICATE_REQUEST_ID request_id is taken in this type')
end
local submit_keys, key_rest = index_entry('submit_keys', submit_key or '')
local refusal = refuse_used_key(submit_key and redis.call('HGET', submit_keys, key_rest))
  or refuse_kinds(kinds, policy_number_of('most_kinds')) or expected and refuse_expected(expected)
if refusal then
  return refusal
end
local own_terms = (#terms > 0 or #after > 0) and read_terms(terms, after, owners)
local is_beside = own_terms and own_terms.is_beside
local bytes = bytes_of({ request_id, owner_id, demand }, fields, terms, after)
local last_id = number_of(counters[1] or '0')
refusal = own_terms and own_terms.refusal or refuse_full(owner_id, 1, bytes)
  or not last_id and refuse_damaged_counter()

-- Nothing is written before this line, and nothing below it can fail. The first write finds whether the callback is
-- taken; of two refusals that is the one told.
local callbacks, rest = index_entry('callbacks', callback or '')
local is_taken = callback and (refusal and redis.call('HEXISTS', callbacks, rest) == 1
  or not refusal and redis.call('HSETNX', callbacks, rest, request_id) == 0)
if is_taken then
  return redis.error_reply('DUPLICATE_CALLBACK callback is taken in this type by '
    .. named_job(redis.call('HGET', callbacks, rest), owners))
elseif refusal then
  return refusal
end
local created = wall_us()
local id, incarnation = whole(last_id + 1), counters[4] or new_incarnation()
local member = member_of(id, request_id)

-- Writes the line of the audit log, in one piece: this is the script that runs most.
local function record_submit()
  local data_bytes = 0
  for i = 1, #fields, 2 do
    if string.match(fields[i], '^data%d*$') then
      data_bytes = data_bytes + #fields[i + 1]
    end
  end
  record_audit(actor, 'submit', request_id, nil, '{"owner_id":' .. audit_json(owner_id)
    .. ',"status":"queued","priority":' .. whole(priority) .. ',"data_bytes":' .. data_bytes
    .. (expected and ',"expected":' .. expected / 1000 or '') .. '}', { policy_value('audit_log'), counters[5] })
end

local changes, bytes_of_type = { 'id', id, 'incarnation', incarnation }, number_of(counters[6] or '0')
if priority then
  redis.call('SADD', key('own_priority'), member)
else
  priority = default_priority(created, counters[2])
  changes[5], changes[6] = 'clock', priority
end
if bytes_of_type then -- a damaged one stays as it is, as in add_to
  changes[#changes + 1], changes[#changes + 2] = 'bytes', whole(bytes_of_type + bytes)
end
redis.call('HSET', base, unpack(changes))
redis.call('HSET', name, 'id', id, 'owner', owner_id, 'status', is_beside and 'beside' or 'queued', 'shape', shape,
  'created', whole(created), 'bytes', whole(bytes), unpack(fields, 1, math.min(#fields, BATCH)))
set_fields(name, fields, BATCH + 1)
if expected then
  redis.call('HSET', name, 'expected', whole(expected))
end
keep_submit_key(name, request_id, submit_key)
forget_withdrawal(request_id, owner_id)
redis.call('ZADD', key('owner:' .. owner_id), priority, member)
if own_terms then
  write_terms(own_terms, name, member, demand)
end
if prefer_for then
  prefer_until(member, name, now_ms() + prefer_for)
end
if is_beside then
  redis.call('ZADD', key('status:beside'), priority, member)
else
  join_queue(member, priority, shape, demand)
end
count_waiting(owner_id, 1)
add_use('bytes', owner_id, bytes)
record_event({ request_id = request_id, id = id, owner = owner_id }, '', is_beside and 'beside' or 'queued')
if actor and policy_value('audit_log') ~= '0' then
  record_submit()
end
return reply({
  id = id,
  created = created,
  priority = priority,
  position = not is_beside and redis.call('ZRANK', key('status:queued'), member) + 1 or nil,
  capacity_number = counters[3] or '0',
  incarnation = incarnation,
  left = own_terms and #own_terms.awaited or 0,
})
