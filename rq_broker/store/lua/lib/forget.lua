--- The end of a job: every key and index entry of it goes, and its two names are free again.
--- @include "base"
--- @include "callback"
--- @include "job"
--- @include "line"
--- @include "hold"

-- `digest` is the job's callback's; the entry goes only while it still points at this job.
local function forget(job, digest)
  if job.status == 'queued' then
    leave_line(job.member, job.shape)
    wake('grant')
  end
  redis.call('ZREM', key('status:' .. job.status), job.member)
  redis.call('ZREM', key('owner:' .. job.owner), job.member)
  drop_delivery(job)
  redis.call('ZREM', key('deadlines'), job.member)
  redis.call('DEL', key('attempts:' .. job.request_id))
  local bucket, rest = callback_entry(digest)
  if redis.call('HGET', bucket, rest) == job.request_id then
    redis.call('HDEL', bucket, rest)
  end
  if release(job) then
    wake('grant')
  end
  redis.call('DEL', job_key(job.request_id))
  record_event(job.request_id, job.id, 'deleted')
end
