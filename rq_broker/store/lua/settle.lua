--- Record the outcomes of claimed callbacks.
--- Keeps: each attempt is settled as if it were alone. Only the newest attempt of the newest grant counts, and only
---   once; an attempt that outlived its lease and was claimed again does not. The slot at the
---   destination is free afterwards in any case. A receiver that asks for time gets it: its jobs go
---   back to their place in the queue if their offer would end before.
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
---     error         string   the same in words that the job keeps as its error
---     milliseconds  integer  how long the attempt took
---     destination   string   scheme://host:port that was called
---     owner         string   the job's owner; with the destination it names the receiver
---     health        string   what the attempt shows of the receiver: healthy, unhealthy, or ''
---     slow_down     integer  ms for which the receiver takes one callback at a time; 0 for none
---     pause         integer  ms for which the receiver asked not to be called; 0 for none
--- Returns
---   statuses        strings  the status of each job now, or STALE if its attempt does not count
---   changes         rows     a receiver whose breaker opened or closed, or that asked for time
---     destination   string   its destination
---     owner         string   its owner
---     change        string   open, closed, or asked
---     failures      integer  failures in a row that led to it, or that it ends
---     seconds       integer  for how long, rounded up; 0 for closed
--- Errors none
--- @include "become"
--- @include "destination"

local now = now_ms()
local finished = {} -- receiver → members of the callbacks that leave their slots
local up_to_date = {} -- receiver → true if its record says healthy and prompt already
local changes = {}

local function note_change(attempt, change, failures, ends)
  if change then
    changes[#changes + 1] = {
      destination = attempt.destination, owner = attempt.owner, change = change, failures = failures,
      seconds = math.ceil(math.max(ends - now, 0) / 1000),
    }
  end
end

local function record_unhealthy(receiver, attempt)
  local change = record_failure(receiver, read_receiver(receiver), now)
  if change then
    local record = read_receiver(receiver)
    note_change(attempt, change, record.failures, record.open_until)
  end
end

local function record_healthy(receiver, attempt)
  local record = read_receiver(receiver)
  note_change(attempt, record_answer(receiver, record, now), record.failures, now)
  if not record.prompt then
    redis.call('HSET', destination_key(receiver), 'prompt', '1')
  end
  up_to_date[receiver] = true
end

-- Records what the attempt shows of its receiver.
local function record_health(receiver, attempt)
  local unhealthy = attempt.health == 'unhealthy'
  if attempt.slow_down > 0 or attempt.pause > 0 or unhealthy then
    redis.call('ZADD', key('destinations'), whole(now), receiver) -- keeps the record for a day
  end
  if attempt.slow_down > 0 then
    redis.call('HSET', destination_key(receiver), 'slow_until', whole(now + attempt.slow_down))
  end
  if attempt.pause > 0 then
    local record = read_receiver(receiver)
    note_change(attempt, ask_to_wait(receiver, record, attempt.pause, now), record.failures, now + attempt.pause)
  end
  if unhealthy then
    record_unhealthy(receiver, attempt)
  elseif attempt.health == 'healthy' and not up_to_date[receiver] then
    record_healthy(receiver, attempt)
  end
  if unhealthy or attempt.milliseconds >= PROMPT_MS then
    redis.call('HDEL', destination_key(receiver), 'prompt')
    up_to_date = {}
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
  reschedule(job.member, is_prompt(job.receiver), now)
  wake('deliver')
  return 'granted'
end

local function retry_later(job, attempt, record)
  redis.call('HSET', job_key(job.request_id), 'settled', attempt.attempt, 'error', attempt.error)
  reschedule(job.member, record.prompt, math.max(now + attempt.delay, record.asked_until))
  return 'granted'
end

local function give_up(job, cause, text)
  become(job, 'error', { 'error', text, 'cause', cause })
  return 'error'
end

local function put_back(job)
  become(job, 'queued', {})
  return 'queued'
end

-- The offer ends before the next attempt. In an outage on the broker's side the job goes back to its place
-- in the queue.
local function end_offer(job, attempt)
  count_missed_offer()
  if is_outage(now) then
    return put_back(job)
  end
  return give_up(job, attempt.cause, 'offer expired: ' .. attempt.error)
end

-- Tries the callback again, if that can be within the offer and before its receiver takes callbacks again.
local function retry(job, attempt)
  local record = read_receiver(job.receiver)
  if outlasts(job, record.asked_until, now) then
    return put_back(job)
  elseif now + attempt.delay >= job.offer_ends then
    return end_offer(job, attempt)
  end
  return retry_later(job, attempt, record)
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
    return give_up(job, attempt.cause, attempt.error)
  end
  return retry(job, attempt)
end

-- Notes that the callback leaves its slot.
local function finish(receiver, attempt)
  local members = finished[receiver] or {}
  finished[receiver] = members
  members[#members + 1] = member_of(attempt.id, attempt.request_id)
end

-- Frees the slots of all attempts, and offers them to parked callbacks: first to those of the same
-- receivers, which take no turns while they are blocked.
local function free_finished_slots()
  local destinations = {}
  for receiver, members in pairs(finished) do
    local destination = destination_of(receiver)
    leave_slots(receiver, members)
    if redis.call('ZSCORE', key('parked'), receiver) then
      redis.call('ZADD', key('parked_at:' .. destination), 'NX', 0, receiver)
    end
    destinations[destination] = true
  end
  for destination in pairs(destinations) do
    unpark_at(destination, now)
  end
end

-- 1. Settle each attempt.
local statuses = {}
for i, attempt in ipairs(attempts) do
  local receiver = receiver_of(attempt.destination, attempt.owner)
  finish(receiver, attempt)
  record_health(receiver, attempt)
  statuses[i] = settle(attempt)
end

-- 2. Free their slots, once each receiver's breaker is up to date.
free_finished_slots()
return reply({ statuses = statuses, changes = changes })
