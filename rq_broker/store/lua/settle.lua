--- Record the outcomes of claimed callbacks.
--- Keeps: each attempt is settled as if it were alone. Only the newest attempt of the newest grant counts, and only
---   once; an attempt that outlived its lease and was claimed again does not. The slot at the
---   destination is free afterwards in any case.
--- KEYS[1] base
--- ARGV
---   attempts        rows     a claimed callback
---     request_id    string   its job
---     id            decimal  the job's ID
---     fence         decimal  fence of the grant
---     attempt       decimal  number of the attempt, as claimed
---     outcome       string   delivered, retry, failed, or release (handed back untried)
---     delay         integer  ms until the next attempt, for retry
---     cause         string   the result in one word: http_200, timeout, ...
---     milliseconds  integer  how long the attempt took
---     destination   string   scheme://host:port that was called
---     health        string   what the attempt shows of the destination: healthy, unhealthy, or ''
---     slow_down     integer  ms for which the destination takes one callback at a time; 0 for none
--- Returns
---   statuses        strings  the status of each job now, or STALE if its attempt does not count
--- Errors none
--- @include "become"
--- @include "destination"

local now = now_ms()
local finished = {} -- destination → members of the callbacks that leave their slots
local up_to_date = {} -- destination → true if its record says healthy and prompt already

-- Records what the attempt shows of its destination.
local function record_health(attempt)
  local destination, unhealthy = attempt.destination, attempt.health == 'unhealthy'
  if attempt.slow_down > 0 or unhealthy then
    redis.call('ZADD', key('destinations'), whole(now), destination) -- keeps the record for a day
  end
  if attempt.slow_down > 0 then
    redis.call('HSET', destination_key(destination), 'slow_until', whole(now + attempt.slow_down))
  end
  if unhealthy then
    record_failure(destination, read_destination(destination), now)
  elseif attempt.health == 'healthy' and not up_to_date[destination] then
    local record = read_destination(destination)
    record_answer(destination, record, now)
    if not record.prompt then
      redis.call('HSET', destination_key(destination), 'prompt', '1')
    end
    up_to_date[destination] = true
  end
  if unhealthy or attempt.milliseconds >= PROMPT_MS then
    redis.call('HDEL', destination_key(destination), 'prompt')
    up_to_date[destination] = nil
  end
end

-- Returns the job if this attempt is the newest of its newest grant and was not settled before.
local function job_of(attempt)
  local job = load_job(attempt.request_id)
  local is_newest = job and job.id == attempt.id and job.fence == attempt.fence
    and job.attempts == tonumber(attempt.attempt)
  return is_newest and job.settled ~= attempt.attempt and job or nil
end

-- Hands the callback back: it is due at once, and this attempt does not count as a try.
local function release_untried(job, attempt)
  local name = job_key(job.request_id)
  redis.call('HSET', name, 'settled', attempt.attempt)
  add_to(name, 'released', 1)
  reschedule(job.member, is_prompt(job.destination), now)
  wake('deliver')
  return 'granted'
end

local function retry_later(job, attempt)
  redis.call('HSET', job_key(job.request_id), 'settled', attempt.attempt, 'error', attempt.cause)
  reschedule(job.member, is_prompt(job.destination), now + attempt.delay)
  return 'granted'
end

local function give_up(job, cause)
  become(job, 'error', { 'error', cause })
  return 'error'
end

-- The offer ends before the next attempt. In an outage on the broker's side the job goes back to its place
-- in the queue.
local function end_offer(job, cause)
  if is_outage(now) then
    become(job, 'queued', {})
    return 'queued'
  end
  return give_up(job, 'offer expired: ' .. cause)
end

-- Carries out what the attempt means for its job. Returns the job's status now, or STALE.
local function settle(attempt)
  local job = job_of(attempt)
  if not job then
    return 'STALE'
  end
  if attempt.outcome ~= 'release' then
    record_attempt(attempt.request_id, attempt.attempt, attempt.fence, attempt.cause, whole(attempt.milliseconds))
  end
  if job.status ~= 'granted' then -- its client changed the status before its receiver answered
    return 'STALE'
  end
  if attempt.outcome == 'release' then
    return release_untried(job, attempt)
  elseif attempt.outcome == 'delivered' then
    become(job, 'running', { 'settled', attempt.attempt })
    return 'running'
  elseif attempt.outcome == 'failed' then
    return give_up(job, attempt.cause)
  elseif now + attempt.delay >= job.offer_ends then
    return end_offer(job, attempt.cause)
  end
  return retry_later(job, attempt)
end

-- Notes that the callback leaves its slot.
local function finish(attempt)
  local members = finished[attempt.destination] or {}
  finished[attempt.destination] = members
  members[#members + 1] = member_of(attempt.id, attempt.request_id)
end

-- Frees the slots of all attempts, and lets parked callbacks have them.
local function free_finished_slots()
  for destination, members in pairs(finished) do
    remove_members(key('flying:' .. destination), members)
    if redis.call('ZSCORE', key('parked'), destination) then
      unpark(destination, free_slots(destination, read_destination(destination), now), now)
    end
  end
end

-- 1. Settle each attempt.
local statuses = {}
for i, attempt in ipairs(attempts) do
  finish(attempt)
  record_health(attempt)
  statuses[i] = settle(attempt)
end

-- 2. Free their slots, once each destination's breaker is up to date.
free_finished_slots()
return reply({ statuses = statuses })
