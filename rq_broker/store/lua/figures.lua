--- Read what was counted of the type, how long its oldest job waits, and how many breakers are open.
--- Keeps: the cost follows the priorities at the front of the line, MOST_PRIORITIES of them at most, and not
---   the jobs that wait.
--- KEYS[1] base
--- ARGV none
--- Returns
---   oldest    integer  ms that a job in the line waits, the longest; 0 if none does. Of the jobs of one
---                      priority the first is read, up to the first job whose priority was not given and
---                      that never left the line: those behind that one came later
---   breakers  integer  receivers whose circuit breaker is not closed
---   counters  fields   the counters of the base hash
--- Errors none
--- @include "base"
--- @include "job"
--- @include "wall"

local MOST_PRIORITIES = 64 -- bounds the time of a call where clients give each job a priority of its own

local COUNTERS = { forecasts_kept = true, forecasts_missed = true, forecasts_p50_kept = true,
  forecasts_p50_missed = true, offers_missed = true }

-- Returns since when the oldest job waits, µs; nil if none does.
local function oldest_since()
  local oldest, score = nil, '-inf'
  for _ = 1, MOST_PRIORITIES do
    local first = redis.call('ZRANGEBYSCORE', key('status:queued'), score, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[1] then
      return oldest
    end
    local f = redis.pcall('HMGET', job_key(request_id_of(first[1])), 'created', 'joined')
    local since = number_of(f[2]) or number_of(f[1])
    oldest = since and math.min(since, oldest or since) or oldest
    if not f[2] and redis.call('SISMEMBER', key('own_priority'), first[1]) == 0 then
      return oldest
    end
    score = '(' .. first[2]
  end
  return oldest
end

local since, counters = oldest_since(), {}
local settings = redis.call('HGETALL', base)
for i = 1, #settings, 2 do
  if COUNTERS[settings[i]] or string.sub(settings[i], 1, 5) == 'wait:' then
    counters[#counters + 1] = settings[i]
    counters[#counters + 1] = settings[i + 1]
  end
end
return reply({
  oldest = since and math.max(0, math.floor((wall_us() - since) / 1000)) or 0,
  breakers = redis.call('ZCARD', key('open')),
  counters = counters,
})
