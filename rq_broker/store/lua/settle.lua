--- Say how claimed deliveries went.
--- Keeps: each is settled as if alone. Only the newest attempt of the newest grant is heard; whoever
---   overran its lease is not. Its slot at the destination is free afterwards in any case.
--- KEYS[1] base
--- ARGV[1…] eleven a delivery: request_id; ID; fence of the grant; attempt, as claimed; 'delivered',
---   'retry', 'failed' or 'release' (handed back untried); ms until the next attempt, for retry; what
---   came of it in a class word (ok, http_503, timeout, …); ms it took; destination; what it says of
---   the destination ('healthy', 'unhealthy' or ''); ms the destination asked to be spared, or '0'
--- Returns for each the job's status now, or 'STALE'
--- Errors none
--- @include "become"
--- @include "destination"

local FIELDS = 11

-- The job, if it still waits for what came of this attempt.
local function awaiting(request_id, id, fence, attempt)
  local job = load_job(request_id)
  local newest = job and job.id == id and job.fence == fence and job.attempts == tonumber(attempt)
  return newest and job.settled ~= attempt and job or nil
end

-- The client may have moved its job before it answered: that is kept as an attempt, and changes nothing.
local function settle(request_id, id, fence, attempt, outcome, delay, cause, took)
  local job = awaiting(request_id, id, fence, attempt)
  if not job then
    return 'STALE'
  end
  local name, now = job_key(request_id), now_ms()
  if outcome ~= 'release' then
    record_attempt(request_id, attempt, fence, cause, took)
  end
  if job.status ~= 'granted' then
    return 'STALE'
  end
  if outcome == 'release' then
    redis.call('HSET', name, 'settled', attempt)
    redis.call('HINCRBY', name, 'released', 1) -- it keeps its number, and is no try
    owe_again(job.member, is_prompt(job.destination), now)
    wake('deliver')
    return 'granted'
  end
  if outcome == 'delivered' then
    become(job, 'running', { 'settled', attempt })
    return 'running'
  end
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
  redis.call('HSET', name, 'settled', attempt, 'error', cause)
  owe_again(job.member, is_prompt(job.destination), now + delay)
  return 'granted'
end

local statuses = {}
for i = 1, #ARGV, FIELDS do
  local request_id, id, fence, attempt, outcome, delay, cause, took, destination, health, slow_down =
    unpack(ARGV, i, i + FIELDS - 1)
  judge(destination, member_of(id, request_id), health, tonumber(slow_down), tonumber(took))
  statuses[#statuses + 1] = settle(request_id, id, fence, attempt, outcome, tonumber(delay), cause, took)
end
make_room()
return statuses
