--- Take a job out altogether, and release what it holds.
--- Keeps: its request_id and callback are free afterwards, and no index names it.
--- KEYS[1] base
--- ARGV
---   request_id     string    the client's name for the job
---   id             decimal?  ID that the caller read: another job may have the name since
---   callback       string    digest of the job's callback
---   only_if_ended  flag      withdraw it only if its retention has ended
--- Returns
---   withdrawn      flag      false if its retention has not ended
--- Errors JOB_NOT_FOUND
--- @include "forget"

local job = load_job(request_id)
if not job or job.id ~= id then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
if only_if_ended then
  local ends = redis.call('ZSCORE', key('deadlines'), job.member)
  if not ends or tonumber(ends) > now_ms() or job.status == 'granted' or job.status == 'running' then
    return reply({ withdrawn = false })
  end
end
forget(job, callback)
return reply({ withdrawn = true })
