--- Back-pressure: what is granted first is called first, so grants wait while callbacks lag behind them.
---
--- All grants of a type wait while the oldest callback to a prompt destination is due for LATE_MS, or no
--- courier has claimed anything for NO_COURIER_MS since a grant. Slow and dead receivers cannot cause
--- either: their callbacks are parked, or due in another set. What they can fill is their own bound: no
--- job is granted to a receiver where BEHIND_FACTOR × the policy's `concurrency` callbacks wait for a
--- slot, or, while it is not known to be prompt, for their first claim (`uncalled:<r>`). Offers wait for no
--- courier; of an owner as many may be open at a time (`uncalled:<r>` has them).
---
--- A refused grant leaves `late` in the base hash, or its receiver in `behind`. The claim that ends
--- the cause takes that away and wakes the granter.
--- @include "base"
--- @include "batches"
--- @include "policy"
--- @include "queue"
--- @include "destination"

local LATE_MS = 250 -- a callback is called within a second of its grant, the claim and its request included
local NO_COURIER_MS = 2000 -- a courier whose slots are all taken by timeouts, or none at all
local BEHIND_FACTOR = 2 -- callbacks that wait while as many are in flight: the receiver is never idle
local BEHIND_READ = 500 -- receivers listed to the planner: bounds the time of the script
local BEHIND_MS = 60000 -- a receiver that nobody asked for since then is not listed any more

local function behind_limit()
  return BEHIND_FACTOR * policy_number_of('concurrency')
end

-- Returns how long the oldest callback to a prompt destination has been due, ms.
local function lag(now)
  local first = redis.call('ZRANGE', key('prompt'), 0, 0, 'WITHSCORES')
  return first[2] and now - first[2] or 0
end

-- Returns whether callbacks are due that no courier came for. Jobs may have left `granted` meanwhile.
local function lacks_courier(now)
  local since = redis.call('HGET', base, 'unclaimed_since')
  if not since or now - number_of(since, 0) <= NO_COURIER_MS then
    return false
  end
  if redis.call('ZCOUNT', key('prompt'), '-inf', whole(now)) == 0
    and redis.call('ZCOUNT', key('deliveries'), '-inf', whole(now)) == 0 then
    redis.call('HDEL', base, 'unclaimed_since')
    return false
  end
  return true
end

-- Returns how many callbacks wait for a slot at the receiver, and how many for their first claim, as far as that may
-- hold up grants to it.
local function count_waiting_there(receiver, prompt)
  return redis.call('ZCARD', key('parked:' .. receiver)),
    prompt and 0 or redis.call('ZCARD', key('uncalled:' .. receiver))
end

local function waiting_there(receiver, prompt)
  return math.max(count_waiting_there(receiver, prompt))
end

local function is_behind(receiver, prompt)
  return waiting_there(receiver, prompt) >= behind_limit()
end

-- Returns whether grants of jobs with a callback have to wait for callbacks of the type.
local function are_callbacks_late(now)
  return lag(now) > LATE_MS or lacks_courier(now)
end

-- Notes that grants were refused as callbacks are late.
local function note_late()
  redis.call('HSET', base, 'late', '1')
  wake('deliver')
end

-- Notes that a grant was refused as too much waits for its receiver.
local function note_behind(receiver, now)
  redis.call('ZADD', key('behind'), whole(now), receiver)
  redis.call('ZREMRANGEBYSCORE', key('behind'), '-inf', whole(now - BEHIND_MS))
end

-- Counts the first callbacks of grants, or offers. `keep_ms`: after it the count is forgotten, should it be wrong.
local function count_uncalled(members, receiver, prompt, now, keep_ms)
  if destination_of(receiver) ~= OFFER then
    redis.call('HSETNX', base, 'unclaimed_since', whole(now))
  end
  if not prompt then
    add_at(key('uncalled:' .. receiver), whole(now), members)
    redis.call('PEXPIRE', key('uncalled:' .. receiver), keep_ms)
  end
end

-- Notes that callbacks to a receiver were claimed, and wakes the granter if that ends its bound.
local function count_claimed(receiver, prompt, members)
  remove_members(key('uncalled:' .. receiver), members)
  if redis.call('ZSCORE', key('behind'), receiver)
    and 2 * waiting_there(receiver, prompt) <= behind_limit() then
    redis.call('ZREM', key('behind'), receiver)
    wake('grant')
  end
end

-- Notes that a courier claims, and wakes the granter if callbacks are no longer late. `unclaimed_since`, `late`: the
-- fields of the base hash.
local function note_claim(now, unclaimed_since, late)
  if unclaimed_since then
    redis.call('HDEL', base, 'unclaimed_since')
  end
  if late and 2 * lag(now) <= LATE_MS then
    redis.call('HDEL', base, 'late')
    wake('grant')
  end
end
