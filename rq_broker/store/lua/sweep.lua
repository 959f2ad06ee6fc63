--- End expired offers, running times and retention; unpark callbacks; delete old records of
--- destinations and sources.
--- Keeps: a job that cannot be read is dropped from the deadlines, and does not stop the others.
--- KEYS[1] base
--- ARGV
---   limit  integer   how many of each kind to end at most
--- Returns
---   wait   integer?  ms until a sweep has work again; not given if nothing waits for one
---   moved  integer   jobs whose offer or running time ended
---   ended  strings   request_ids of jobs whose retention ended; the caller withdraws them
--- Errors none
--- @include "become"
--- @include "destination"
--- @include "next_sweep"
--- @include "source"

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

-- Ends the offer or the running time of a job. If an offer ends in an outage on the broker's side, the
-- job goes back to its place in the queue.
local function end_time(job)
  if job.status == 'granted' then
    record_lost(job)
    if outage then
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

local function unpark_where_slots_are_free()
  for _, destination in ipairs(first_due('parked', now)) do
    local record = read_destination(destination)
    unpark(destination, free_slots(destination, record, now), now)
  end
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

local function forget_unused_destinations()
  for _, destination in ipairs(first_due('destinations', now - FORGET_MS)) do
    redis.call('DEL', destination_key(destination))
    redis.call('ZREM', key('open'), destination)
    redis.call('ZREM', key('destinations'), destination)
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
-- 1. End offers, running times and retention, by their deadlines.
end_deadlines()
-- 2. Unpark callbacks at destinations with free slots: no callback in flight may be left to do it.
unpark_where_slots_are_free()
-- 3. Wake what waits for a time: grants to destinations whose breaker was open.
wake_what_is_due()
-- 4. Delete old records of destinations and of sources.
forget_old_health()
forget_unused_destinations()
forget_past_sources()
return reply({ wait = ms_until_sweep(), moved = moved, ended = ended })
