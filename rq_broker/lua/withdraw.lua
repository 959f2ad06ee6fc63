--- Take a job out altogether, releasing what it holds.
--- Keeps: its request_id and callback are free afterwards, and no index remembers it.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] ID the caller saw: another job may have taken the name since
--- ARGV[3] digest of the job's callback
--- Returns 1
--- Errors JOB_NOT_FOUND
--- @include "forget"

local request_id, id, callback = ARGV[1], ARGV[2], ARGV[3]

local job = load_job(request_id)
if not job or job.id ~= id then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
forget(job, callback)
return 1
