--- Allow requests out of buckets, into which requests come evenly.
--- Keeps: as many requests come out of each bucket; no bucket has more than its burst. A bucket that nobody uses is full,
---   and takes no memory. A clock that is set back fills nothing, and delays nothing but that.
--- KEYS[1] base
--- ARGV
---   wanted      integer   requests to allow, at least 1; where there are fewer, those that there are
---   buckets     rows      a bucket, which all API processes share
---     name      string    its name
---     rate      integer   requests that come in 1,000 seconds, at least 1
---     burst     integer   requests that it has when it is full, at least 1
--- Returns
---   allowed     integer   requests allowed, 0 for none
---   wait        integer   ms until there is one in each bucket; 0 if there are some
---   left        integers  requests that each bucket has left
--- Errors none
--- @include "base"
--- @include "wall"

local now = wall_us()
local levels, allowed, wait = {}, wanted, 0

-- 1. Fill each bucket for the time since it was last used.
for i, bucket in ipairs(buckets) do
  local level, since = string.match(redis.call('GET', key('rate:' .. bucket.name)) or '', '^(%S+) (%d+)$')
  local elapsed = math.max(0, now - number_of(since, now))
  levels[i] = math.min(bucket.burst, number_of(level, bucket.burst) + elapsed * bucket.rate / 1000000000)
  allowed = math.min(allowed, math.floor(levels[i]))
  wait = math.max(wait, math.ceil((1 - levels[i]) * 1000000 / bucket.rate))
end

-- 2. Take the same out of each; its key goes when it would be full again.
local left = {}
for i, bucket in ipairs(buckets) do
  local level = levels[i] - allowed
  left[i] = math.floor(level)
  local filling_ms = math.ceil((bucket.burst - level) * 1000000 / bucket.rate)
  redis.call('SET', key('rate:' .. bucket.name), string.format('%.6f %.0f', level, now), 'PX', whole(filling_ms + 1))
end
return reply({ allowed = allowed, wait = allowed > 0 and 0 or wait, left = left })
