--- A job with alternatives may prefer the first of them until a time: `prefers_until` of its hash. Then
--- the granter is woken, as the others may fit already: the entry `grant:prefers:<member>` of `later`.
--- @include "wake"

-- Returns the name under which the granter is woken for a job.
local function preference_of(member)
  return 'prefers:' .. member
end

-- Notes that a job prefers its first alternative until a time, ms. `name`: the key of its hash.
local function prefer_until(member, name, time)
  redis.call('HSET', name, 'prefers_until', whole(time))
  wake_later('grant', preference_of(member), time)
end
