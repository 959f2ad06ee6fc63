--- Read the first jobs of each waiting shape, shapes in the order of their first job.
--- Keeps: the cost follows the shapes read, not the jobs that wait. `heads` ranks shapes of equal
---   priority by digest, so a window may end anywhere among them. Within the window, shapes stand in
---   the order of their first jobs. Where many shapes are read, fewer jobs are read of each shape,
---   because Redis does nothing else meanwhile.
--- KEYS[1] base
--- ARGV
---   rank      integer  rank in `heads` of the first shape to read
---   limit     integer  how many shapes to read
---   jobs      integer  how many jobs to read of each shape, at most
---   earliest  integer  if not all shapes fit: read the shapes of this many first jobs besides
--- Returns
---   total     integer  how many shapes wait in all
---   shapes    rows     a waiting shape
---     shape   string   its digest
---     demand  string   what it stands for, canonical JSON
---     count   integer  how many of its jobs wait
---     passed  string   when its first job was first passed, ms; '' if it was not
---     heads   fields   its first jobs: member, priority, ...
--- Errors none
--- @include "base"
--- @include "job"

-- At most MAX_JOBS jobs in one reply: Redis serves nobody else meanwhile. But at least MIN_JOBS of each
-- shape: as many as an admission pass first asks for.
local MAX_JOBS, MIN_JOBS = 20000, 8

-- 1. Choose the shapes: the window of `heads`, and those of the first jobs of the queue.
local total = redis.call('ZCARD', key('heads'))
local window, is_chosen = {}, {}
local function choose(shape)
  if shape and not is_chosen[shape] then
    is_chosen[shape] = true
    window[#window + 1] = shape
  end
end

for _, shape in ipairs(redis.call('ZRANGE', key('heads'), rank, rank + limit - 1)) do
  choose(shape)
end
if earliest > 0 and total > limit then
  for _, member in ipairs(redis.call('ZRANGE', key('status:queued'), 0, earliest - 1)) do
    choose(redis.call('HGET', job_key(request_id_of(member)), 'shape'))
  end
end

-- 2. Read the first jobs of each shape.
local count = math.min(jobs, math.max(math.floor(MAX_JOBS / #window), MIN_JOBS))
local shapes = {}
for _, shape in ipairs(window) do
  local set = key('shape:' .. shape)
  local heads = redis.call('ZRANGE', set, 0, count - 1, 'WITHSCORES')
  if heads[1] then
    shapes[#shapes + 1] = {
      shape = shape,
      demand = redis.call('HGET', key('shapes'), shape) or '',
      count = redis.call('ZCARD', set),
      passed = redis.call('HGET', key('passed'), heads[1]) or '',
      heads = heads,
    }
  end
end

-- 3. Order them by their first jobs. Equal priorities are first come, first served, also across
-- shapes, whereas `heads` orders them by digest.
table.sort(shapes, function(a, b)
  local p, q = tonumber(a.heads[2]), tonumber(b.heads[2])
  if p == q then
    return tonumber(string.sub(a.heads[1], 1, 16)) < tonumber(string.sub(b.heads[1], 1, 16))
  end
  return p < q
end)
return reply({ total = total, shapes = shapes })
