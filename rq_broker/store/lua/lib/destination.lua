--- Destinations: scheme://host:port of a callback. A bad one harms only itself.
---
--- `destination:<d>` is its record: `failures` in a row, `openings` in a row, `open_until` (ms),
--- `slow_until` (ms), `probe`, `prompt`. Closed (no `open_until`), it takes as many callbacks at
--- once as the policy's concurrency; open, none; half-open (`open_until` passed), one probe, whose
--- outcome closes it or opens it for longer. What it cannot take now waits in `parked:<d>`, out of
--- the way of the others' deliveries. A slot is an entry of `flying:<d>` and ends with its lease.
---
--- It is `prompt` once its last callback was answered within PROMPT_MS. Callbacks owed to prompt
--- ones are due in `prompt`, to all others in `deliveries`: a thousand that may each take the whole
--- timeout then stand in a line of their own, and a courier takes only some of those at once. In
--- that line a first callback to one that does not fail goes before what is tried again.
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "policy"

local FAILURES = 5 -- in a row before it opens
local OPEN_MS, OPEN_MS_MAX = 5000, 60000
local RECENT_MS = 60000
local PARK_MS = 1000
local PROMPT_MS = 1000
local UNPARKED = 500
local HEAD_START_MS = 3600000
local FORGET_MS = 86400000 -- a destination without grant or failure for a day is as good as new

local function destination_key(destination)
  return key('destination:' .. destination)
end

local function is_half_open(record, now)
  return record.open_until > 0 and record.open_until <= now
end

local function is_prompt(destination)
  return redis.call('HGET', destination_key(destination), 'prompt') == '1'
end

local function read_destination(destination)
  local f = redis.call('HMGET', destination_key(destination),
    'failures', 'openings', 'open_until', 'slow_until', 'probe', 'prompt')
  return {
    failures = tonumber(f[1] or '0'), openings = tonumber(f[2] or '0'),
    open_until = tonumber(f[3] or '0'), slow_until = tonumber(f[4] or '0'), probe = f[5] or '',
    prompt = f[6] == '1',
  }
end

-- How many callbacks it may take at once, now.
local function slots_of(record, now)
  if record.open_until > now then
    return 0
  end
  if is_half_open(record, now) or record.slow_until > now then
    return 1
  end
  return tonumber(policy_value('concurrency'))
end

local function free_slots(destination, record, now)
  local flying = key('flying:' .. destination)
  redis.call('ZREMRANGEBYSCORE', flying, '-inf', whole(now))
  return slots_of(record, now) - redis.call('ZCARD', flying)
end

-- Takes slots; `leases` is end (ms), member, … Whatever happens to their courier, the set itself is
-- gone in a day.
local function fly(destination, leases)
  redis.call('ZADD', key('flying:' .. destination), unpack(leases))
  redis.call('PEXPIRE', key('flying:' .. destination), FORGET_MS)
end

local function line_of(prompt)
  return prompt and 'prompt' or 'deliveries'
end

-- Owes a callback, due nowhere yet, at `when`, ms, in the line its destination's are due in.
local function owe(member, prompt, when)
  redis.call('ZADD', key(line_of(prompt)), whole(when), member)
end

-- The first callback of a grant: due at once, and first in line unless its destination fails.
local function owe_first(member, destination, now)
  local record = read_destination(destination)
  local waits_behind = record.prompt or record.failures > 0
  owe(member, record.prompt, waits_behind and now or now - HEAD_START_MS)
end

-- Owes one that is due already, perhaps in the other line: its destination may have changed.
local function owe_again(member, prompt, when)
  redis.call('ZREM', key(line_of(not prompt)), member)
  owe(member, prompt, when)
end

local function park(destination, member, now)
  owe_no_more(member)
  redis.call('ZADD', key('parked:' .. destination), whole(now), member)
  redis.call('ZADD', key('parked'), whole(now + PARK_MS), destination)
end

-- Puts up to `count` parked deliveries back among those due.
local function unpark(destination, count, now)
  local parked = key('parked:' .. destination)
  if count > 0 then
    local prompt = is_prompt(destination)
    for _, member in ipairs(redis.call('ZRANGE', parked, 0, math.min(count, UNPARKED) - 1)) do
      redis.call('ZREM', parked, member)
      owe(member, prompt, now)
      wake('deliver')
    end
  end
  if redis.call('EXISTS', parked) == 1 then
    redis.call('ZADD', key('parked'), whole(now + PARK_MS), destination)
  else
    redis.call('ZREM', key('parked'), destination)
  end
end

-- Most of those tried within the last minute failing at once is a fault of ours, not of each. Only
-- those that answered before bear witness, while any answers: a client who names a thousand dead
-- receivers neither closes the way out nor keeps breakers from opening.
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

-- In an outage it may have failed without being charged: then only `failing` knows.
local function absolve(destination, record, now)
  redis.call('ZADD', key('answering'), whole(now), destination)
  if record.failures > 0 or redis.call('ZSCORE', key('failing'), destination) then
    close_destination(destination)
  end
end

local function charge(destination, record, now)
  redis.call('ZADD', key('failing'), whole(now), destination)
  if redis.call('ZREM', key('answering'), destination) == 1 or redis.call('ZSCORE', key('turned'), destination) then
    redis.call('ZADD', key('turned'), whole(now), destination)
  end
  if is_outage(now) then
    return
  end
  local name = destination_key(destination)
  local failures = redis.call('HINCRBY', name, 'failures', 1)
  if failures >= FAILURES and record.open_until <= now then
    local openings = redis.call('HINCRBY', name, 'openings', 1)
    local until_ms = now + math.min(OPEN_MS * 2 ^ (openings - 1), OPEN_MS_MAX)
    redis.call('HSET', name, 'open_until', whole(until_ms))
    redis.call('HDEL', name, 'probe')
    redis.call('ZADD', key('open'), whole(until_ms), destination)
  end
end

local landed, healthy = {}, {} -- destination → members that need no slot there now; all said to be healthy

-- What one attempt said of its destination: 'healthy', 'unhealthy', or '' for nothing (4xx); how long it
-- asked to be spared, and how long it took, ms. To be followed by `make_room`, once for all.
local function judge(destination, member, health, slow_down, took)
  local now = now_ms()
  landed[destination] = landed[destination] or {}
  table.insert(landed[destination], member)
  if slow_down > 0 or health == 'unhealthy' then
    redis.call('ZADD', key('destinations'), whole(now), destination) -- its record is not forgotten yet
  end
  if slow_down > 0 then
    redis.call('HSET', destination_key(destination), 'slow_until', whole(now + slow_down))
  end
  if health == 'unhealthy' then
    charge(destination, read_destination(destination), now)
  elseif health == 'healthy' and not healthy[destination] then
    local record = read_destination(destination)
    absolve(destination, record, now)
    if not record.prompt then
      redis.call('HSET', destination_key(destination), 'prompt', '1')
    end
    healthy[destination] = true
  end
  if health == 'unhealthy' or took >= PROMPT_MS then
    redis.call('HDEL', destination_key(destination), 'prompt')
    healthy[destination] = nil
  end
end

-- Frees the slots of what landed, for those that wait for one.
local function make_room()
  local now = now_ms()
  for destination, members in pairs(landed) do
    redis.call('ZREM', key('flying:' .. destination), unpack(members))
    if redis.call('ZSCORE', key('parked'), destination) then
      unpark(destination, free_slots(destination, read_destination(destination), now), now)
    end
  end
end

-- Whether a grant to it would only wait: open, or half-open with its probe still out.
local function is_closed_to_grants(destination, now)
  local record = read_destination(destination)
  if record.open_until > now then
    return true
  end
  return is_half_open(record, now)
    and redis.call('HGET', key('job:' .. record.probe), 'status') == 'granted'
end
