--- The time is Redis's own, so no two processes disagree about it; one script has one moment.
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
