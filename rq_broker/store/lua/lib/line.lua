--- The line: a queued job stands in status:queued, in its shape, and its shape in heads.
--- What a shape means is kept in shapes while it has queued jobs; a job that leaves the line takes
--- it along as `demand`, and brings it back when it joins again.
--- @include "base"

local function wake(marker)
  redis.call('ZADD', key('wake'), 0, marker)
end

-- A shape's score in heads is its first job's priority; a shape without jobs is forgotten.
local function refresh_head(shape)
  local first = redis.call('ZRANGE', key('shape:' .. shape), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', key('heads'), first[2], shape)
  else
    redis.call('ZREM', key('heads'), shape)
    redis.call('HDEL', key('shapes'), shape)
  end
end

-- Whoever becomes the first of its shape may change what can be granted; others cannot.
local function join_line(member, priority, shape, demand)
  redis.call('ZADD', key('status:queued'), priority, member)
  redis.call('ZADD', key('shape:' .. shape), priority, member)
  if redis.call('ZRANK', key('shape:' .. shape), member) == 0 then
    redis.call('ZADD', key('heads'), priority, shape)
    redis.call('HSETNX', key('shapes'), shape, demand)
    wake('grant')
  end
end

-- Returns the shape's demand, for the job to keep.
local function leave_line(member, shape)
  local demand = redis.call('HGET', key('shapes'), shape) or ''
  local was_first = redis.call('ZRANK', key('shape:' .. shape), member) == 0
  redis.call('ZREM', key('status:queued'), member)
  redis.call('ZREM', key('shape:' .. shape), member)
  redis.call('HDEL', key('passed'), member)
  redis.call('HDEL', key('forecasts'), member)
  if was_first then
    refresh_head(shape)
  end
  return demand
end
