--- The queue: a queued job is in `status:queued` and in the set of its shape, and its shape in `heads`.
--- What a shape stands for is kept in `shapes` while the shape has queued jobs. A job that leaves the
--- queue takes it along in its field `demand`, and brings it back when it joins again.
--- @include "base"
--- @include "batches"
--- @include "wake"

-- Counts a change of the places or priorities of jobs that have no event of it, see lib/line_version.
local function count_shift()
  add_to(base, 'shifts', 1)
end

-- Sets a shape's score in `heads` to the priority of its first job; forgets a shape without jobs.
local function refresh_head(shape)
  local first = redis.call('ZRANGE', key('shape:' .. shape), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', key('heads'), first[2], shape)
  else
    redis.call('ZREM', key('heads'), shape)
    redis.call('HDEL', key('shapes'), shape)
  end
end

-- The granter is woken only by a job that goes before all others of its shape: jobs behind the first cannot
-- be granted before it.
local function join_shape(member, priority, shape, demand)
  redis.call('ZADD', key('shape:' .. shape), priority, member)
  if redis.call('ZADD', key('heads'), 'LT', 'CH', priority, shape) == 1 then
    redis.call('HSETNX', key('shapes'), shape, demand)
    wake('grant')
  end
end

-- Sets the heads of shapes to the first of the jobs that joined them, where that goes before all others.
-- `joined`: shape → the least priority of these jobs, and what the shape stands for; at most as many as one call has.
local function lower_heads(joined)
  local heads = {}
  for shape, of_shape in pairs(joined) do
    heads[#heads + 1], heads[#heads + 2] = of_shape.priority, shape
  end
  if #heads > 0 and redis.call('ZADD', key('heads'), 'LT', 'CH', unpack(heads)) > 0 then
    for shape, of_shape in pairs(joined) do
      redis.call('HSETNX', key('shapes'), shape, of_shape.demand)
    end
    wake('grant')
  end
end

-- Lets several jobs of one shape join it. `flat`: score, member, ...
local function join_shape_together(flat, shape, demand)
  add_members(key('shape:' .. shape), flat)
  redis.call('HSETNX', key('shapes'), shape, demand)
  refresh_head(shape)
  wake('grant')
end

local function leave_shape(member, shape)
  local was_first = redis.call('ZRANK', key('shape:' .. shape), member) == 0
  redis.call('ZREM', key('shape:' .. shape), member)
  if was_first then
    refresh_head(shape)
  end
end

local function join_queue(member, priority, shape, demand)
  redis.call('ZADD', key('status:queued'), priority, member)
  join_shape(member, priority, shape, demand)
end

-- Lets several jobs leave the queue. Returns shape → what it stands for, for the jobs to keep.
local function leave_queue_together(jobs)
  local members, by_shape, demands = {}, {}, {}
  for i, job in ipairs(jobs) do
    local of_shape = by_shape[job.shape] or {}
    by_shape[job.shape] = of_shape
    members[i], of_shape[#of_shape + 1] = job.member, job.member
  end
  remove_members(key('status:queued'), members)
  for shape, of_shape in pairs(by_shape) do
    demands[shape] = redis.call('HGET', key('shapes'), shape) or ''
    remove_members(key('shape:' .. shape), of_shape)
    refresh_head(shape)
  end
  delete_fields(key('passed'), members)
  delete_fields(key('forecasts'), members)
  return demands
end

-- Returns what the shape stands for, for the job to keep.
local function leave_queue(member, shape)
  local demand = redis.call('HGET', key('shapes'), shape) or ''
  redis.call('ZREM', key('status:queued'), member)
  leave_shape(member, shape)
  redis.call('HDEL', key('passed'), member)
  redis.call('HDEL', key('forecasts'), member)
  return demand
end
