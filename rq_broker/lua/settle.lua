--- Say how one claimed delivery went.
--- Keeps: only the newest attempt of the newest grant is heard; whoever overran its lease is not.
---   Its slot at the destination is free afterwards in any case.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] ID
--- ARGV[3] fence of the grant
--- ARGV[4] attempt, as claimed
--- ARGV[5] 'delivered', 'retry', 'failed' or 'release' (handed back untried)
--- ARGV[6] ms until the next attempt, for retry
--- ARGV[7] what came of it in a class word: ok, http_503, timeout, …
--- ARGV[8] ms it took
--- ARGV[9] destination
--- ARGV[10] what it says of the destination: 'well', 'ill' or ''
--- ARGV[11] ms the destination asked to be spared, or '0'
--- Returns the job's status now, or 'STALE'
--- Errors none
--- @include "become"
--- @include "destination"

local request_id, id, fence, attempt, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local delay, cause, took = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local destination, verdict, spare = ARGV[9], ARGV[10], tonumber(ARGV[11])

judge(destination, member_of(id, request_id), verdict, spare)

local job = load_job(request_id)
if not job or job.id ~= id or job.fence ~= fence or job.attempts ~= tonumber(attempt) then
  return 'STALE'
end
if redis.call('HGET', job_key(request_id), 'settled') == attempt then
  return 'STALE'
end
if job.status ~= 'granted' then
  if outcome ~= 'release' then
    record_attempt(request_id, attempt, fence, cause, took) -- the client moved its job before it answered
  end
  return 'STALE'
end
if outcome == 'release' then
  redis.call('HSET', job_key(request_id), 'settled', attempt)
  redis.call('HINCRBY', job_key(request_id), 'released', 1) -- it keeps its number, and is no try
  redis.call('ZADD', key('deliveries'), whole(now_ms()), job.member)
  wake('deliver')
  return 'granted'
end
record_attempt(request_id, attempt, fence, cause, took)
redis.call('HSET', job_key(request_id), 'settled', attempt)
if outcome == 'delivered' then
  become(job, 'running', {})
  return 'running'
end
local now = now_ms()
if outcome == 'retry' and now + delay >= job.offer_ends then
  if is_outage(now) then
    become(job, 'queued', {})
    return 'queued'
  end
  outcome, cause = 'failed', 'offer expired: ' .. cause
end
if outcome == 'failed' then
  become(job, 'error', { 'error', cause })
  return 'error'
end
redis.call('HSET', job_key(request_id), 'error', cause)
redis.call('ZADD', key('deliveries'), whole(now + delay), job.member)
return 'granted'
