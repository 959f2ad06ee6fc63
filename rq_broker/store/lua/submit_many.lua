--- Put several new jobs in the queue, one after the other.
--- Keeps: as submit; each job is stored or refused as if it were alone behind those before it in the call. Each that
---   is stored has its line in the audit log, as of a submit.
--- KEYS[1] base
--- ARGV
---   jobs             rows      the jobs, up to 100, each as submit takes it
---     request_id     string    the client's name for the job
---     owner_id       string    its owner
---     callback       string?   digest of its callback
---     own_callback   string?   the same as its owner has it, where names are per owner
---     submit_key     string?   digest of the owner and its idempotency key
---     priority       decimal?  if not given, the next tick of the type's clock
---     expected       integer?  how long it says it will hold, ms
---     shape          string    digest of `demand`
---     demand         string    the shape, canonical JSON
---     kinds          integer   how many amounts the demand lists
---     prefer_for     integer?  ms from now on in which none of its alternatives will do
---     who            string?   who submits, for the audit log; not given: the broker itself, without a line
---     address        string    the address of who submits, '' for none
---     http_request_id string   ID of the HTTP request, '' for none
---     fields         fields    fields of the job hash, folded
---     terms          fields    the job's own terms
---     after          strings   the jobs for which it waits; earlier ones of the call may be among them
---     owners         strings   whose jobs the caller may name; none: anybody's
--- Returns
---   results          rows      of each job, in order; of one that is refused only `refusal` says something
---     refusal        string    text of the error that submit would reply; '' if the job is stored
---     id             integer   the job's ID
---     created        integer   time of the submit, µs since 1970
---     priority       integer   the job's priority
---     position       integer?  its place in the queue at the end of the call; not given while it waits beside
---                              the line
---     capacity_number string   number of the type's last change of capacity
---     incarnation    string    the life of the type's state
---     left           integer   for how many jobs it waits beside the line
--- Errors TOO_MANY_KINDS, EXPECTED_TOO_LONG, DUPLICATE_REQUEST_ID, DUPLICATE_CALLBACK, IDEMPOTENCY_KEY_REUSED,
---   UNKNOWN_DEPENDENCY, DEPENDENCY_FAILED, QUEUE_FULL
--- @include "new_jobs"

local wrong_count = refuse_count(jobs)
if wrong_count then
  return wrong_count
end
local counters = read_counters()
if not keep_clock(believed, { counters[7], counters[8] }) then
  return clock_in_doubt()
end
switch_off() -- no more is written than the time, see lib/guard
for _, job in ipairs(jobs) do
  job.actor = job.who and { job.who, job.address, job.http_request_id }
end
begin_submits(counters, jobs)
local results = {}
for i, job in ipairs(jobs) do
  acting = job.who
  local refusal = submit_job(job)
  if not refusal then
    note_stored(job)
  end
  results[i] = refusal and { refusal = refusal.err, id = 0, created = 0, priority = 0, capacity_number = '',
    incarnation = '', left = 0 } or job
end
if #entered > 0 then
  write_counters(bytes_taken())
  enter_jobs()
end
for _, job in ipairs(entered) do
  job.refusal, job.created, job.capacity_number = '', shared.created, shared.capacity_number
  job.incarnation, job.left = shared.incarnation, job.own_terms and #job.own_terms.awaited or 0
end
return reply({ results = results })
