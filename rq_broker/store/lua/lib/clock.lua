--- The time is Redis's own, so that all processes share one clock. One script runs at one moment.
local moment

local function now_us()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000000 + time[2]
  end
  return moment
end

local function now_ms()
  return math.floor(now_us() / 1000)
end
