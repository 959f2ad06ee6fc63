--- The type's clock: leases and deadlines end by it. It is Redis's wall clock, but goes on evenly where
--- that is stepped: `clock_offset` of the base hash, ms, is what to add to the wall clock.
---
--- A step back shows by `clock_latest`, the latest time noted. A step in any direction shows to a
--- caller that knows the time: it says what time it believes it is, and if that is wrong by more than
--- STEP_MS nothing is done; the caller then finds out why (store/type_clock.py), and has the step taken
--- out (step.lua).
--- @include "base"
--- @include "wall"

local STEP_MS = 2000 -- below it are drift and delays, above it is a step
local NOTE_MS = 1000 -- between two notes of the time: a write in every script would cost too much

local moment

-- Returns the wall clock's time, what to add to it, and the latest time noted; all ms. `fields`: clock_offset and
-- clock_latest, where the script has read them already.
local function read_clock(fields)
  local clock = fields or redis.call('HMGET', base, 'clock_offset', 'clock_latest')
  return math.floor(wall_us() / 1000), number_of(clock[1], 0), number_of(clock[2], 0)
end

-- `fields`: as of read_clock, in the first call of a script that has read them.
local function now_ms(fields)
  if not moment then
    local wall_ms, offset, latest = read_clock(fields)
    moment = math.max(wall_ms + offset, latest)
  end
  return moment
end

-- Keeps that the wall clock was stepped by `step` ms, and that `offset` is to be added from now on.
local function record_step(step, offset)
  redis.call('HSET', base, 'clock_offset', whole(offset), 'clock_step', whole(step), 'clock_stepped', whole(now_ms()))
  add_to(base, 'clock_steps', 1)
  redis.call('XADD', key('events'), 'MAXLEN', '~', '10000', '*', 'request_id', '', 'id', '0', 'status', 'clock_step',
    'milliseconds', whole(step))
end

-- Takes out a step back, and notes the time. `believed`: the time as the caller knows it, or nil; `fields`: as of
-- read_clock. Returns false, and writes nothing, if the caller knows another time.
local function keep_clock(believed, fields)
  local wall_ms, offset, latest = read_clock(fields)
  local time = wall_ms + offset
  moment = math.max(time, latest)
  if believed and math.abs(moment - believed) > STEP_MS then
    return false
  end
  if time < latest - STEP_MS then
    record_step(time - latest, offset + latest - time)
  elseif moment - latest >= NOTE_MS then
    redis.call('HSET', base, 'clock_latest', whole(moment))
  end
  return true
end

local function clock_in_doubt()
  return redis.error_reply('CLOCK_IN_DOUBT the time is not the one that the caller believes')
end
