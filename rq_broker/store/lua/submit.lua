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
--- @include "new_jobs"

local counters = read_counters()
if not keep_clock(believed, { counters[7], counters[8] }) then
  return clock_in_doubt()
end
switch_off() -- no more is written than the time, see lib/guard
local job = {
  request_id = request_id, owner_id = owner_id, callback = callback, own_callback = own_callback,
  submit_key = submit_key, priority = priority, expected = expected, shape = shape, demand = demand, kinds = kinds,
  prefer_for = prefer_for, fields = fields, terms = terms, after = after, owners = owners, actor = actor,
}
begin_submits(counters, { job })
local refusal = submit_job(job)
if refusal then
  return refusal
end
write_counters(job.bytes)
enter_job(job)
return reply({
  id = job.id,
  created = shared.created,
  priority = job.priority,
  position = job.position,
  capacity_number = shared.capacity_number,
  incarnation = shared.incarnation,
  left = job.own_terms and #job.own_terms.awaited or 0,
})
