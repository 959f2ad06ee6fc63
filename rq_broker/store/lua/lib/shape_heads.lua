--- The first jobs of each waiting shape, shapes in the order of their first job.
--- @include "base"
--- @include "job"
--- @include "batches"

-- At most MAX_JOBS jobs in one reply: Redis serves nobody else meanwhile. But at least MIN_JOBS of each
-- shape: as many as an admission pass first asks for.
local MAX_JOBS = 20000
local MIN_JOBS = 8

-- Returns the digests of the shapes in a window of `heads`, and of those of the first jobs of the queue; and
-- how many shapes wait in all.
local function shapes_in_window(rank, limit, earliest)
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
  return window, total
end

-- Returns those of some jobs that have a priority of their own, in order.
local function own_of(heads)
  local own = {}
  for first = 1, #heads, 2 * BATCH do
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

-- Equal priorities are first come, first served, also across shapes, whereas `heads` orders them by digest.
local function comes_first(a, b)
  local p, q = tonumber(a.heads[2]), tonumber(b.heads[2])
  if p == q then
    return tonumber(string.sub(a.heads[1], 1, 16)) < tonumber(string.sub(b.heads[1], 1, 16))
  end
  return p < q
end

-- Reads the first `jobs` jobs of each shape of a window, see heads.lua; returns them, and how many shapes wait in all.
local function read_heads(rank, limit, jobs, earliest, with_own)
  local window, total = shapes_in_window(rank, limit, earliest)
  local any_own = with_own and redis.call('EXISTS', key('own_priority')) == 1
  local count = math.min(jobs, math.max(math.floor(MAX_JOBS / #window), MIN_JOBS))
  local shapes = {}
  for _, shape in ipairs(window) do
    local set = key('shape:' .. shape)
    local heads = redis.call('ZRANGE', set, 0, count - 1, 'WITHSCORES')
    if heads[1] then
      local own = any_own and own_of(heads) or {}
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
  table.sort(shapes, comes_first)
  return shapes, total
end
