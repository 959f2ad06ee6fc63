--- Say how one claimed delivery went.
--- Keeps: only the newest attempt of the newest grant is heard; whoever overran its lease is not.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] fence of the grant
--- ARGV[3] attempt, as claimed
--- ARGV[4] 'delivered', 'retry', 'failed' or 'release' (handed back untried)
--- ARGV[5] ms until the next attempt, for retry
--- ARGV[6] cause, for retry and failed
--- Returns the job's status now, or 'STALE'
--- Errors none
--- @include "become"

local request_id, fence, attempt, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay, cause = ARGV[5], ARGV[6]

local job = load_job(request_id)
if not job or job.status ~= 'granted' or job.fence ~= fence or job.attempts ~= tonumber(attempt) then
  return 'STALE'
end
if outcome == 'delivered' then
  redis.call('HDEL', job_key(request_id), 'error')
  become(job, 'running', {})
  return 'running'
end
if outcome == 'failed' then
  become(job, 'error', { 'error', cause })
  return 'error'
end
if outcome == 'release' then
  redis.call('HINCRBY', job_key(request_id), 'attempts', -1)
  delay = 0
  wake('deliver')
else
  redis.call('HSET', job_key(request_id), 'error', cause)
end
redis.call('ZADD', key('deliveries'), whole(now_ms() + delay), job.member)
return 'granted'
