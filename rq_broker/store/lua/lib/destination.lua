--- Destinations, the scheme://host:port of callbacks, and receivers. A receiver is a destination as one
--- owner's jobs see it: behind a shared gateway the path of one owner may fail while others answer. Its
--- name is `<destination> <owner>`, or the destination alone for jobs without an owner. A receiver that
--- fails, or asks for time, harms only itself. `offer` stands for the destination of jobs without callback, see
--- lib/offer.
---
--- `destination:<r>` is a receiver's record: `failures` in a row, `openings` of the breaker in a row,
--- `open_until`, `asked_until` and `slow_until` (ms), `probe` (request_id), `prompt`. It decides how many
--- callbacks go there at once:
---   closed     no `open_until`        the policy's `concurrency`
---   open       `open_until` ahead     none
---   half-open  `open_until` passed    one, the probe: its success closes the breaker, its failure
---                                     opens it again, for longer
---   asked      `asked_until` ahead    none: it answered with Retry-After. Its jobs give their capacity
---                                     back if that takes long, and keep their place in the queue
--- A callback in flight has a slot: an entry of `flying:<d>`, which ends with the claim's lease. All owners
--- share the slots of a destination. Where there are several (`owners:<d>`), each also has entries in
--- `flying_of:<r>`, and leaves room: it takes another slot only while it has fewer than are free, or than
--- PROMPT_SHARE times as many if it is prompt. So receivers that hang never hold all slots.
--- A callback without a free slot is parked in `parked:<r>`, where it delays no other receiver's;
--- `parked_at:<d>` lists the receivers that wait for slots, the one served last at the end.
---
--- A receiver is prompt if its last callback was answered within PROMPT_MS, else unproven. Callbacks to
--- prompt receivers are due in `prompt`, all others in `deliveries`. So a thousand callbacks that may each
--- take the whole timeout wait in a set of their own, and a courier claims only a share of its slots from
--- it. In `deliveries`, first callbacks to receivers without failures come first.
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
local PROMPT_SHARE = 8 -- a prompt owner leaves a ninth of the slots free: others start at once, and it loses little
local SERVED_LIMIT = 16 -- receivers that freed slots are offered to in one call: bounds the time of the script
local HOLD_MS = 60000 -- a pause up to it keeps a job's capacity: no longer than between two attempts
local SHARED_MS = 5000 -- a destination that answered one owner within it fails another by its path, not by the network
local SLOW_AFTER_PAUSE_MS = 1000 -- one callback at a time after a pause, so that not all that waited come at once
local FORGET_MS = 86400000 -- a destination without a grant or a failure for a day is deleted

local function destination_key(receiver)
  return key('destination:' .. receiver)
end

local function destination_of(receiver)
  return string.match(receiver, '^%S+') or receiver
end

local function read_receiver(receiver)
  local f = redis.call('HMGET', destination_key(receiver),
    'failures', 'openings', 'open_until', 'slow_until', 'probe', 'prompt', 'asked_until')
  return {
    failures = number_of(f[1], 0), openings = number_of(f[2], 0),
    open_until = number_of(f[3], 0), slow_until = number_of(f[4], 0), probe = f[5] or '',
    prompt = f[6] == '1', asked_until = number_of(f[7], 0),
  }
end

local function is_prompt(receiver)
  return redis.call('HGET', destination_key(receiver), 'prompt') == '1'
end

local function is_half_open(record, now)
  return record.open_until > 0 and record.open_until <= now
end

-- Returns whether no callback may go there until a time that is known.
local function is_blocked(record, now)
  return record.open_until > now or record.asked_until > now
end

-- Returns whether a grant there would only wait: it is blocked, or its probe is in flight.
local function is_closed_to_grants(record, now)
  return is_blocked(record, now) or (is_half_open(record, now)
    and redis.call('HGET', key('job:' .. record.probe), 'status') == 'granted')
end

-- Slots

local shared_destinations = {} -- destination → whether it has several owners, as this script read it

local function is_shared(destination)
  if shared_destinations[destination] == nil then
    shared_destinations[destination] = redis.call('SCARD', key('owners:' .. destination)) > 1
  end
  return shared_destinations[destination]
end

-- Returns how many callbacks may go there at once.
local function slots_of(record, now)
  if is_blocked(record, now) then
    return 0
  end
  if is_half_open(record, now) or record.slow_until > now then
    return 1
  end
  return policy_number_of('concurrency')
end

local function count_in_flight(name, now)
  redis.call('ZREMRANGEBYSCORE', key(name), '-inf', whole(now))
  return redis.call('ZCARD', key(name))
end

-- Returns how many more callbacks may go to a receiver now, and how many to its whole destination.
local function free_slots(receiver, record, now)
  local limit = slots_of(record, now)
  if limit == 0 then
    return 0, 0
  end
  local destination = destination_of(receiver)
  local in_flight = count_in_flight('flying:' .. destination, now)
  if not is_shared(destination) then
    return limit - in_flight, limit - in_flight
  end
  local free = policy_number_of('concurrency') - in_flight
  local own = count_in_flight('flying_of:' .. receiver, now)
  local factor = record.prompt and PROMPT_SHARE or 1
  local share = math.ceil((factor * free - own) / (1 + factor)) -- until as few are free as it says above
  return math.min(limit - own, share, free), free
end

-- `leases`: end (ms), member, … The sets expire in a day, also if no courier settles.
local function take_slots(receiver, leases)
  local destination = destination_of(receiver)
  local names = { 'flying:' .. destination, is_shared(destination) and 'flying_of:' .. receiver or nil }
  for _, name in ipairs(names) do
    add_members(key(name), leases)
    redis.call('PEXPIRE', key(name), FORGET_MS)
  end
end

local function leave_slots(receiver, members)
  remove_members(key('flying:' .. destination_of(receiver)), members)
  remove_members(key('flying_of:' .. receiver), members)
end

-- When a callback is due

local function due_set(prompt)
  return prompt and 'prompt' or 'deliveries'
end

-- Makes a callback that is due nowhere fall due at `when`, ms.
local function schedule(member, prompt, when)
  set_due(due_set(prompt), when, member, 'deliver')
end

-- Makes the first callbacks of grants due now. `record`: of their receiver.
local function schedule_first(members, record, now)
  local no_head_start = record.prompt or record.failures > 0
  add_at(key(due_set(record.prompt)), whole(no_head_start and now or now - HEAD_START_MS), members)
  wake('deliver')
end

-- Makes a callback due at `when`, ms; it may have been due in the other set.
local function reschedule(member, prompt, when)
  redis.call('ZREM', key(due_set(not prompt)), member)
  schedule(member, prompt, when)
end

-- Parked callbacks

-- Parks a callback that is due until its receiver has a free slot. If the receiver asked for time, a sweep
-- puts the job back in the queue.
local function park(receiver, record, member, now)
  unschedule(member)
  local has_asked = record.asked_until > now
  redis.call('ZADD', key('parked:' .. receiver), whole(now), member)
  redis.call('ZADD', key('parked_at:' .. destination_of(receiver)), 'NX', whole(now), receiver)
  set_due('parked', has_asked and now or now + PARK_MS, receiver, 'sweep')
  if has_asked then
    wake('sweep')
  end
end

-- Makes parked callbacks due again, at most `count` of them, the longest parked first. Then the receiver
-- waits for its next turn; one that is blocked takes none.
local function unpark(receiver, record, count, now)
  local parked, waiting = key('parked:' .. receiver), key('parked_at:' .. destination_of(receiver))
  if count > 0 then
    for _, member in ipairs(redis.call('ZRANGE', parked, 0, math.min(count, UNPARK_LIMIT) - 1)) do
      redis.call('ZREM', parked, member)
      schedule(member, record.prompt, now)
      wake('deliver')
    end
  end
  if redis.call('EXISTS', parked) == 0 then
    redis.call('ZREM', key('parked'), receiver)
    redis.call('ZREM', waiting, receiver)
  elseif is_blocked(record, now) then
    redis.call('ZREM', waiting, receiver)
  else
    redis.call('ZADD', key('parked'), whole(now + PARK_MS), receiver)
    redis.call('ZADD', waiting, whole(now), receiver)
  end
end

-- Makes as many of a receiver's parked callbacks due as there are free slots for.
local function unpark_receiver(receiver, now)
  local record = read_receiver(receiver)
  unpark(receiver, record, (free_slots(receiver, record, now)), now)
end

-- Offers the free slots of a destination to the receivers that wait for them, in turns.
local function unpark_at(destination, now)
  local left
  for _, receiver in ipairs(redis.call('ZRANGE', key('parked_at:' .. destination), 0, SERVED_LIMIT - 1)) do
    local record = read_receiver(receiver)
    local count, free = free_slots(receiver, record, now)
    left = left or not is_blocked(record, now) and free or nil
    count = math.min(count, left or 0)
    unpark(receiver, record, count, now)
    left = left and left - math.max(count, 0)
    if left and left <= 0 then
      return
    end
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

local function end_failing(destination)
  redis.call('ZREM', key('turned'), destination)
  if redis.call('ZREM', key('failing'), destination) == 1 then
    wake('grant') -- in an outage nothing was granted to it
  end
end

local function close_breaker(receiver)
  redis.call('HDEL', destination_key(receiver), 'failures', 'openings', 'open_until', 'probe')
  redis.call('ZREM', key('open'), receiver)
  wake('grant')
end

-- Records an answer. Returns 'closed' if that closes the breaker.
local function record_answer(receiver, record, now)
  local destination = destination_of(receiver)
  redis.call('ZADD', key('answering'), whole(now), destination)
  end_failing(destination)
  if record.failures > 0 then
    close_breaker(receiver)
  end
  return record.open_until > 0 and 'closed' or nil
end

-- Opens a breaker for `first` ms, or for twice as long as the last time, but for `most` at most. Returns 'open' if it was
-- closed.
local function open_breaker(receiver, now, first, most)
  local name = destination_key(receiver)
  local openings = add_to(name, 'openings', 1) or 1
  local open_until = now + math.min(first * 2 ^ (openings - 1), most)
  redis.call('HSET', name, 'open_until', whole(open_until))
  redis.call('HDEL', name, 'probe')
  redis.call('ZADD', key('open'), whole(open_until), receiver)
  wake_later('grant', receiver, open_until)
  return openings == 1 and 'open' or nil
end

-- Returns whether a destination answers another owner, so that the network is not at fault.
local function answers_others(destination, now)
  local answered = redis.call('ZSCORE', key('answering'), destination)
  return answered and answered + SHARED_MS > now and is_shared(destination)
end

-- Records a failure. Returns 'open' if it is the one that opens the breaker.
local function record_failure(receiver, record, now)
  local destination = destination_of(receiver)
  if not answers_others(destination, now) then
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
  end
  local failures = add_to(destination_key(receiver), 'failures', 1) or FAILURES
  if failures >= FAILURES and record.open_until <= now then
    return open_breaker(receiver, now, OPEN_MS, OPEN_MS_MAX)
  end
end

-- A pause that a receiver asked for

-- Keeps the longest pause asked for. Returns 'asked' if none was on.
local function ask_to_wait(receiver, record, pause, now)
  local ends = now + pause
  if ends > record.asked_until then
    redis.call('HSET', destination_key(receiver), 'asked_until', whole(ends),
      'slow_until', whole(ends + SLOW_AFTER_PAUSE_MS))
    redis.call('ZADD', key('asked'), whole(ends), receiver)
    wake_later('grant', 'asked:' .. receiver, ends)
    if redis.call('ZADD', key('parked'), 'XX', 'CH', whole(now), receiver) == 1 then
      wake('sweep') -- which puts jobs back in the queue
    end
  end
  return record.asked_until <= now and 'asked' or nil
end

-- Returns whether a granted job gives its capacity back while its receiver takes no callbacks.
local function outlasts(job, asked_until, now)
  return asked_until > now and (asked_until >= job.offer_ends or asked_until - now > HOLD_MS)
end

local function end_pause(receiver)
  redis.call('HDEL', destination_key(receiver), 'asked_until', 'slow_until')
  redis.call('ZREM', key('asked'), receiver)
  wake('grant')
end
