--- Read one job.
--- Keeps: fields, priority and position are of one instant.
--- KEYS[1] base
--- ARGV
---   request_id  string    the client's name for the job
--- Returns
---   priority    decimal   its priority
---   position    integer?  its place in the queue, 1 = next; given while it is queued
---   fields      fields    the job hash
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "job"

local job = load_job(request_id)
if not job then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
local position
if job.status == 'queued' then
  position = redis.call('ZRANK', key('status:queued'), job.member) + 1
end
local fields = redis.call('HGETALL', job_key(request_id))
return reply({ priority = job.priority, position = position, fields = fields })
