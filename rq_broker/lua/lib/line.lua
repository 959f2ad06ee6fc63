--- The line: a queued job stands in status:queued, in its shape, and its shape in heads.
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
local function join_line(member, priority, shape)
  redis.call('ZADD', key('status:queued'), priority, member)
  redis.call('ZADD', key('shape:' .. shape), priority, member)
  if redis.call('ZRANK', key('shape:' .. shape), member) == 0 then
    redis.call('ZADD', key('heads'), priority, shape)
    wake('grant')
  end
end

local function leave_line(member, shape)
  local was_first = redis.call('ZRANK', key('shape:' .. shape), member) == 0
  redis.call('ZREM', key('status:queued'), member)
  redis.call('ZREM', key('shape:' .. shape), member)
  if was_first then
    refresh_head(shape)
  end
end
