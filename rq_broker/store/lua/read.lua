--- Read one job.
--- Keeps: fields, priority and position are of one instant.
--- KEYS[1] base
--- ARGV
---   request_id      string    the job's name
---   with_submitted  flag      tell its submit's priority as well
---   owners          strings   whose job the caller may name; none: anybody's
--- Returns
---   priority        decimal   its priority
---   submitted       decimal?  the priority that its submit gave; not given if it gave none
---   position        integer?  its place in the queue, 1 = next; given while it is queued
---   clock_offset    integer   ms by which the type's clock is ahead of the wall clock; 0 where it has no offer
---   fields          fields    the job hash
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "owned"

local job = load_own_job(request_id, owners)
if not job then
  return job_not_found()
end

-- A reorder keeps what the submit gave, '' for none. Before any, the job has that priority still.
local function submitted_priority()
  local kept = redis.call('HGET', job_key(request_id), 'submitted_priority')
  if kept then
    return kept ~= '' and kept or nil
  end
  return redis.call('SISMEMBER', key('own_priority'), job.member) == 1 and job.priority or nil
end

local position
if job.status == 'queued' then
  position = redis.call('ZRANK', key('status:queued'), job.member) + 1
end
local fields = redis.call('HGETALL', job_key(request_id))
return reply({
  priority = job.priority,
  submitted = with_submitted and submitted_priority() or nil,
  position = position,
  clock_offset = job.destination == OFFER and number_of(redis.call('HGET', base, 'clock_offset'), 0) or 0,
  fields = fields,
})
