--- The wall clock: Redis's own time, so that all processes share one. It may be set back or forward by
--- hand; what has to outlast that goes by lib/clock. One script runs at one moment.
local wall

-- Returns µs since 1970.
local function wall_us()
  if not wall then
    local time = redis.call('TIME')
    wall = time[1] * 1000000 + time[2]
  end
  return wall
end
