--- The wall clock: Redis's own time, so that all processes share one. It may be set back or forward by
--- hand; what has to outlast that goes by lib/clock. One script runs at one moment.
--- @include "base"

-- The zero of default priorities: 2018-07-26T05:51:00.621743Z, the original service's own.
local EPOCH_US = 1532584260621743
local wall

-- Returns µs since 1970.
local function wall_us()
  if not wall then
    local time = redis.call('TIME')
    wall = time[1] * 1000000 + time[2]
  end
  return wall
end

-- Returns the priority of a job that was given none, by when it was created, µs since 1970. `last` is the last one
-- of this kind, which it comes behind; nil for none.
local function default_priority(created, last)
  return whole(math.max(created - EPOCH_US, number_of(last, -1) + 1))
end
