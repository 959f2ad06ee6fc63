--- The end of a job: every key and index entry of it is deleted, and its two names are free again.
--- @include "base"
--- @include "digests"
--- @include "submit_key"
--- @include "job"
--- @include "queue"
--- @include "hold"
--- @include "beside"
--- @include "array"
--- @include "queue_use"
--- @include "preference"

-- `digest`: of the job's callback.
local function forget(job, digest)
  if job.status == 'queued' then
    leave_queue(job.member, job.shape)
    wake('grant')
  elseif job.status == 'beside' then
    leave_beside(job)
  end
  if job.status ~= 'done' and job.status ~= 'error' then
    note_end(job.member, 'withdrawn')
  end
  if job.give_up_after or job.hold_at_most then
    drop_alarm(job.member)
  end
  if job.prefers_until then
    redis.call('ZREM', key('later'), 'grant:' .. preference_of(job.member))
  end
  redis.call('ZREM', key('status:' .. job.status), job.member)
  redis.call('ZREM', key('owner:' .. job.owner), job.member)
  drop_delivery(job)
  redis.call('ZREM', key('deadlines'), job.member)
  redis.call('SREM', key('own_priority'), job.member)
  redis.call('DEL', key('attempts:' .. job.request_id))
  drop_index_entry('callbacks', digest, job.request_id)
  drop_submit_key(job_key(job.request_id), job.request_id)
  if release(job, nil) then
    wake('grant')
  end
  count_change(job, nil)
  redis.call('DEL', job_key(job.request_id))
  if job.at_once then
    note_holding(job, false)
    wake('grant')
  end
  leave_array(job)
  record_event(job, job.status, 'deleted')
end
