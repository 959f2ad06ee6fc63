--- Take a job out altogether, releasing what it holds.
--- Keeps: its request_id and callback are free afterwards, and no index remembers it.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] ID the caller saw: another job may have taken the name since
--- ARGV[3] digest of the job's callback
--- ARGV[4] '1' to do so only if its retention is over, or ''
--- Returns 1, or 0 when its retention is not over
--- Errors JOB_NOT_FOUND
--- @include "forget"

local request_id, id, callback, over = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'

local job = load_job(request_id)
if not job or job.id ~= id then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
if over then
  local ends = redis.call('ZSCORE', key('deadlines'), job.member)
  if not ends or tonumber(ends) > now_ms() or job.status == 'granted' or job.status == 'running' then
    return 0
  end
end
forget(job, callback)
return 1
