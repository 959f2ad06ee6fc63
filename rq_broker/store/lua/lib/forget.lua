--- The end of a job: every key and index entry of it is deleted, and its two names are free again.
--- @include "base"
--- @include "callback"
--- @include "job"
--- @include "queue"
--- @include "hold"

-- `digest`: of the job's callback. Its index entry is deleted only if it still names this job.
local function forget(job, digest)
  if job.status == 'queued' then
    leave_queue(job.member, job.shape)
    wake('grant')
  end
  redis.call('ZREM', key('status:' .. job.status), job.member)
  redis.call('ZREM', key('owner:' .. job.owner), job.member)
  drop_delivery(job)
  redis.call('ZREM', key('deadlines'), job.member)
  redis.call('SREM', key('own_priority'), job.member)
  redis.call('DEL', key('attempts:' .. job.request_id))
  local callbacks, rest = callback_entry(digest)
  if redis.call('HGET', callbacks, rest) == job.request_id then
    redis.call('HDEL', callbacks, rest)
  end
  if release(job, nil) then
    wake('grant')
  end
  redis.call('DEL', job_key(job.request_id))
  record_event(job.request_id, job.id, 'deleted')
end
