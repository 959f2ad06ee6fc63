--- End expired offers, running times and retention, after counting them anew where the policy changed; let
--- jobs join the line, give up, or fail with what they wait for; unpark callbacks; delete old records.
--- Keeps: a job that cannot be read is dropped from the deadlines, and does not stop the others.
--- KEYS[1] base
--- ARGV
---   limit  integer   how many of each kind to end at most
--- Returns
---   wait   integer?  ms until a sweep has work again, 0 while deadlines are counted anew; not given if
---                    nothing waits for one
---   moved  integer   jobs whose offer or running time ended, or that an alarm or the end of another job moved
---   ended  strings   request_ids of jobs whose retention ended; the caller withdraws them
--- Errors none
--- @include "become"
--- @include "destination"
--- @include "offer"
--- @include "next_sweep"
--- @include "source"
--- @include "rank"
--- @include "dependents"

local RECOUNT_LIMIT = 200 -- deadlines of one status that one call counts anew: bounds its time
local ERRORS = {
  granted = 'offer expired before the callback succeeded',
  running = 'running time ended without renewal',
}

local now = now_ms()
local outage = is_outage(now)
local moved, ended = 0, {}

local function first_due(set, time)
  return redis.call('ZRANGEBYSCORE', key(set), '-inf', whole(time), 'LIMIT', 0, limit)
end

-- Counts some deadlines of a status anew. `recount:<status>` of the base says behind which priority and ID to
-- go on; jobs that have come into the status since the policy changed are counted by it already.
local function recount_deadlines(status, cursor)
  local set, priority, id = key('status:' .. status), string.match(cursor, '^(%S+) (%d+)$')
  local rank = priority and rank_after(set, priority, tonumber(id)) or 0
  local entries = redis.call('ZRANGE', set, rank, rank + RECOUNT_LIMIT - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    recount_deadline(entries[i], status, job_key(request_id_of(entries[i])))
  end
  if #entries < 2 * RECOUNT_LIMIT then
    redis.call('HDEL', base, 'recount:' .. status)
    return false
  end
  redis.call('HSET', base, 'recount:' .. status, entries[#entries] .. ' ' .. whole(id_of(entries[#entries - 1])))
  return true
end

-- Returns whether some are left to count.
local function recount_some()
  local statuses = { 'granted', 'running', 'done', 'error' }
  local cursors = redis.call('HMGET', base, 'recount:granted', 'recount:running', 'recount:done', 'recount:error')
  local is_left = false
  for i, status in ipairs(statuses) do
    if cursors[i] then
      is_left = recount_deadlines(status, cursors[i]) or is_left
    end
  end
  return is_left
end

-- Ends the offer or the running time of a job. If an offer ends in an outage on the broker's side, or while
-- the receiver has asked for time, the job goes back to its place in the queue.
local function end_time(job)
  if job.status == 'granted' then
    count_missed_offer()
  end
  if job.status == 'granted' and job.destination == OFFER then
    miss_offer(job, now)
    return
  elseif job.status == 'granted' then
    record_lost(job)
    if outage or read_receiver(job.receiver).asked_until > now then
      become(job, 'queued', {})
      return
    end
  end
  local text = ERRORS[job.status]
  become(job, 'error', { 'error', job.error == '' and text or text .. ': ' .. job.error })
end

local function end_deadlines()
  for _, member in ipairs(first_due('deadlines', now)) do
    local job = load_job(request_id_of(member))
    if not job or job.member ~= member or job.status == 'queued' then
      redis.call('ZREM', key('deadlines'), member)
    elseif ERRORS[job.status] then
      end_time(job)
      moved = moved + 1
    else
      ended[#ended + 1] = job.request_id
    end
  end
end

-- Does what jobs asked for at this time, see lib/alarm.
local function ring_alarms()
  for _, member in ipairs(first_due('alarms', now)) do
    drop_alarm(member)
    local job = load_job(request_id_of(member))
    if job and job.member == member then
      if job.status == 'beside' then
        become(job, 'queued', {})
      elseif job.status == 'queued' and job.give_up_after then
        give_up(job)
      elseif job.status == 'running' then
        record_event(job, job.status, 'expiring')
      end
      moved = moved + 1
    end
  end
end

-- Puts back in the queue the parked jobs of a receiver that asked for more time than they can wait. Returns
-- whether more of them may be left.
local function put_back(receiver, record)
  local members = redis.call('ZRANGE', key('parked:' .. receiver), 0, limit - 1)
  local count = 0
  for _, member in ipairs(members) do
    local job = load_job(request_id_of(member))
    if not job or job.member ~= member or job.status ~= 'granted' then
      redis.call('ZREM', key('parked:' .. receiver), member)
    elseif outlasts(job, record.asked_until, now) then
      record_lost(job)
      become(job, 'queued', {})
      count = count + 1
    end
  end
  moved = moved + count
  return count == limit
end

local function check_parked()
  for _, receiver in ipairs(first_due('parked', now)) do
    local record = read_receiver(receiver)
    if record.asked_until <= now or not put_back(receiver, record) then
      unpark_receiver(receiver, now)
      if is_blocked(record, now) and redis.call('ZSCORE', key('parked'), receiver) then
        set_due('parked', math.max(record.open_until, record.asked_until), receiver, 'sweep')
      end
    end
  end
end

local function forget_past_pauses()
  redis.call('ZREMRANGEBYSCORE', key('asked'), '-inf', whole(now))
end

local function wake_what_is_due()
  for _, name in ipairs(first_due('later', now)) do
    redis.call('ZREM', key('later'), name)
    wake(string.match(name, '^%a+'))
  end
end

-- With each failure that grows old an outage may end, in which nothing is granted to those that fail.
local function forget_old_health()
  if redis.call('ZREMRANGEBYSCORE', key('failing'), '-inf', whole(now - RECENT_MS)) > 0 then
    wake('grant')
  end
  redis.call('ZREMRANGEBYSCORE', key('turned'), '-inf', whole(now - RECENT_MS))
  redis.call('ZREMRANGEBYSCORE', key('answering'), '-inf', whole(now - RECENT_MS))
end

local function forget_unused_receivers()
  for _, receiver in ipairs(first_due('destinations', now - FORGET_MS)) do
    local destination = destination_of(receiver)
    redis.call('DEL', destination_key(receiver))
    redis.call('ZREM', key('open'), receiver)
    redis.call('ZREM', key('asked'), receiver)
    redis.call('SREM', key('owners:' .. destination), string.sub(receiver, #destination + 2))
    redis.call('ZREM', key('destinations'), receiver)
  end
end

local function forget_past_sources()
  for _, source in ipairs(redis.call('SMEMBERS', key('sources'))) do
    if is_past(source, now) then
      redis.call('SREM', key('sources'), source)
      redis.call('DEL', key('source:' .. source))
    end
  end
end

begin_work('sweep')
-- 1. Count deadlines anew where the policy changed.
local is_counting = recount_some()
-- 2. Let jobs join the line, give up, or be told that their time ends soon: before it ends.
ring_alarms()
-- 3. End offers, running times and retention, by their deadlines; tell those that wait for jobs that ended.
end_deadlines()
moved = moved + resolve_dependents(limit)
-- 4. Unpark callbacks where slots are free, as no callback in flight may be left to do it; put back those
-- whose receivers asked for time.
check_parked()
-- 5. Wake what waits for a time: grants to receivers whose breaker was open, or that asked for time.
wake_what_is_due()
-- 6. Delete old records of receivers and of sources.
forget_old_health()
forget_past_pauses()
forget_unused_receivers()
forget_past_sources()
if is_counting then
  wake('sweep')
end
return reply({ wait = is_counting and 0 or ms_until_sweep(), moved = moved, ended = ended })
