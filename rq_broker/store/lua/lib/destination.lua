--- Destinations: the scheme://host:port of callbacks. A destination that fails harms only itself.
---
--- `destination:<d>` is its record: `failures` in a row, `openings` of the breaker in a row,
--- `open_until` (ms), `slow_until` (ms), `probe` (request_id), `prompt`. The breaker decides how many
--- callbacks go there at once:
---   closed     no `open_until`        the policy's `concurrency`
---   open       `open_until` ahead     none
---   half-open  `open_until` passed    one, the probe: its success closes the breaker, its failure
---                                     opens it again, for longer
--- A callback in flight has a slot: an entry of `flying:<d>`, which ends with the claim's lease. A
--- callback without a free slot is parked in `parked:<d>`, where it delays no other destination's.
---
--- A destination is prompt if its last callback was answered within PROMPT_MS, else unproven. Callbacks
--- to prompt destinations are due in `prompt`, all others in `deliveries`. So a thousand callbacks that
--- may each take the whole timeout wait in a set of their own, and a courier claims only a share of
--- its slots from it. In `deliveries`, first callbacks to destinations without failures come first.
--- @include "base"
--- @include "batches"
--- @include "clock"
--- @include "job"
--- @include "queue"
--- @include "policy"
--- @include "recent"

local FAILURES = 5 -- in a row open the breaker: fewer would open it for a receiver's short restart
local OPEN_MS, OPEN_MS_MAX = 5000, 60000 -- doubled from opening to opening: a probe at least once a minute
local PARK_MS = 1000 -- until a sweep checks parked callbacks, should no callback have freed a slot by then
local PROMPT_MS = 1000 -- an answer within it is prompt; a slower one can fill a courier's slots
local UNPARK_LIMIT = 500 -- callbacks unparked in one call: bounds the time of the script
local HEAD_START_MS = 3600000 -- first callbacks without known failures are due this much before all retries
local FORGET_MS = 86400000 -- a destination without a grant or a failure for a day is deleted

local function destination_key(destination)
  return key('destination:' .. destination)
end

local function read_destination(destination)
  local f = redis.call('HMGET', destination_key(destination),
    'failures', 'openings', 'open_until', 'slow_until', 'probe', 'prompt')
  return {
    failures = number_of(f[1], 0), openings = number_of(f[2], 0),
    open_until = number_of(f[3], 0), slow_until = number_of(f[4], 0), probe = f[5] or '',
    prompt = f[6] == '1',
  }
end

local function is_prompt(destination)
  return redis.call('HGET', destination_key(destination), 'prompt') == '1'
end

local function is_half_open(record, now)
  return record.open_until > 0 and record.open_until <= now
end

-- Returns whether a grant there would only wait: the breaker is open, or its probe is in flight.
local function is_closed_to_grants(destination, now)
  local record = read_destination(destination)
  if record.open_until > now then
    return true
  end
  return is_half_open(record, now)
    and redis.call('HGET', key('job:' .. record.probe), 'status') == 'granted'
end

-- Slots

-- Returns how many callbacks may go there at once.
local function slots_of(record, now)
  if record.open_until > now then
    return 0
  end
  if is_half_open(record, now) or record.slow_until > now then
    return 1
  end
  return policy_number_of('concurrency')
end

-- Returns how many more callbacks may go there now.
local function free_slots(destination, record, now)
  local in_flight = key('flying:' .. destination)
  redis.call('ZREMRANGEBYSCORE', in_flight, '-inf', whole(now))
  return slots_of(record, now) - redis.call('ZCARD', in_flight)
end

-- `leases`: end (ms), member, … The set expires in a day, also if no courier settles.
local function take_slots(destination, leases)
  local in_flight = key('flying:' .. destination)
  add_members(in_flight, leases)
  redis.call('PEXPIRE', in_flight, FORGET_MS)
end

-- When a callback is due

local function due_set(prompt)
  return prompt and 'prompt' or 'deliveries'
end

-- Makes a callback that is due nowhere fall due at `when`, ms.
local function schedule(member, prompt, when)
  set_due(due_set(prompt), when, member, 'deliver')
end

-- Makes the first callback of a grant due now. `record`: of its destination.
local function schedule_first(member, record, now)
  local no_head_start = record.prompt or record.failures > 0
  schedule(member, record.prompt, no_head_start and now or now - HEAD_START_MS)
end

-- Makes a callback due at `when`, ms; it may have been due in the other set.
local function reschedule(member, prompt, when)
  redis.call('ZREM', key(due_set(not prompt)), member)
  schedule(member, prompt, when)
end

-- Parked callbacks

-- Parks a callback that is due until its destination has a free slot.
local function park(destination, member, now)
  unschedule(member)
  redis.call('ZADD', key('parked:' .. destination), whole(now), member)
  set_due('parked', now + PARK_MS, destination, 'sweep')
end

-- Makes parked callbacks due again, at most `count` of them, the longest parked first.
local function unpark(destination, count, now)
  local parked = key('parked:' .. destination)
  if count > 0 then
    local prompt = is_prompt(destination)
    for _, member in ipairs(redis.call('ZRANGE', parked, 0, math.min(count, UNPARK_LIMIT) - 1)) do
      redis.call('ZREM', parked, member)
      schedule(member, prompt, now)
      wake('deliver')
    end
  end
  if redis.call('EXISTS', parked) == 1 then
    set_due('parked', now + PARK_MS, destination, 'sweep')
  else
    redis.call('ZREM', key('parked'), destination)
  end
end

-- Health

-- Returns whether most destinations called within RECENT_MS fail, which is then a fault of our network
-- and not of the destinations. While any destination answers, only newly failing destinations count,
-- those that answered before (key `turned`): a client that names a thousand dead receivers can neither
-- stop all callbacks nor keep breakers from opening.
local function is_outage(now)
  local since = whole(now - RECENT_MS)
  local answering = redis.call('ZCOUNT', key('answering'), since, '+inf')
  local failing = redis.call('ZCOUNT', key(answering > 0 and 'turned' or 'failing'), since, '+inf')
  return failing >= 3 and failing > answering
end

local function close_destination(destination)
  redis.call('HDEL', destination_key(destination), 'failures', 'openings', 'open_until', 'probe')
  redis.call('ZREM', key('open'), destination)
  redis.call('ZREM', key('failing'), destination)
  redis.call('ZREM', key('turned'), destination)
  wake('grant')
end

local function record_answer(destination, record, now)
  redis.call('ZADD', key('answering'), whole(now), destination)
  -- In an outage a failure is in `failing` alone, and not in the record.
  if record.failures > 0 or redis.call('ZSCORE', key('failing'), destination) then
    close_destination(destination)
  end
end

local function open_breaker(destination, now)
  local name = destination_key(destination)
  local openings = add_to(name, 'openings', 1) or 1
  local open_until = now + math.min(OPEN_MS * 2 ^ (openings - 1), OPEN_MS_MAX)
  redis.call('HSET', name, 'open_until', whole(open_until))
  redis.call('HDEL', name, 'probe')
  redis.call('ZADD', key('open'), whole(open_until), destination)
  wake_later('grant', destination, open_until)
end

local function record_failure(destination, record, now)
  redis.call('ZADD', key('failing'), whole(now), destination)
  if redis.call('ZRANK', key('failing'), destination) == 0 then
    publish('sweep', RECENT_MS)
  end
  local answered_before = redis.call('ZREM', key('answering'), destination) == 1
    or redis.call('ZSCORE', key('turned'), destination)
  if answered_before then
    redis.call('ZADD', key('turned'), whole(now), destination)
  end
  if is_outage(now) then
    return
  end
  local failures = add_to(destination_key(destination), 'failures', 1) or FAILURES
  if failures >= FAILURES and record.open_until <= now then
    open_breaker(destination, now)
  end
end
