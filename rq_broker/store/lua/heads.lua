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
---   with_own  flag     tell which jobs have a priority of their own
--- Returns
---   total     integer  how many shapes wait in all
---   shapes    rows     a waiting shape
---     shape   string   its digest
---     size    integer  bytes of what it stands for in `shapes`, canonical JSON; 0 if it is missing
---     count   integer  how many of its jobs wait
---     heads   fields   its first jobs: member, priority, ...
---     own     strings  those of them with a priority of their own; none unless asked for
---     passed  fields   when the first of all and the first of these were first passed: member, ms
--- Errors none
--- @include "base"
--- @include "job"
--- @include "batches"

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
    choose(shape_of(request_id_of(member)))
  end
end

-- Returns those of some jobs that have a priority of their own, in order.
local any_own = with_own and redis.call('EXISTS', key('own_priority')) == 1
local function own_of(heads)
  local own = {}
  for first = 1, any_own and #heads or 0, 2 * BATCH do
    local members = {}
    for i = first, math.min(first + 2 * BATCH, #heads) - 1, 2 do
      members[#members + 1] = heads[i]
    end
    for i, is_own in ipairs(redis.call('SMISMEMBER', key('own_priority'), unpack(members))) do
      own[#own + 1] = is_own == 1 and members[i] or nil
    end
  end
  return own
end

-- Returns when each of two jobs was first passed, if it was.
local function passed_of(first, first_own)
  local passed = {}
  for _, member in ipairs({ first, first_own ~= first and first_own or nil }) do
    local since = redis.call('HGET', key('passed'), member)
    if since then
      passed[#passed + 1] = member
      passed[#passed + 1] = since
    end
  end
  return passed
end

-- 2. Read the first jobs of each shape.
local count = math.min(jobs, math.max(math.floor(MAX_JOBS / #window), MIN_JOBS))
local shapes = {}
for _, shape in ipairs(window) do
  local set = key('shape:' .. shape)
  local heads = redis.call('ZRANGE', set, 0, count - 1, 'WITHSCORES')
  if heads[1] then
    local own = own_of(heads)
    shapes[#shapes + 1] = {
      shape = shape,
      size = redis.call('HSTRLEN', key('shapes'), shape),
      count = redis.call('ZCARD', set),
      heads = heads,
      own = own,
      passed = passed_of(heads[1], own[1]),
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
