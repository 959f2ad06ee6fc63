--- What a grant counts, in fields of the base hash that every grant reads and writes anyway: so counting
--- costs no command. `wait:<size class>:<bucket>` has how many jobs of a size waited for so long, and
--- `wait:<size class>:ms` for how long all of them did; `forecasts_…` which ETAs were kept.
--- @include "base"
--- @include "wall"
--- @include "wait_bounds"

-- Returns the number of the bucket that a wait falls into.
local function bucket_of(wait_ms)
  for bucket, bound in ipairs(WAIT_BOUNDS_MS) do
    if wait_ms <= bound then
      return bucket
    end
  end
  return #WAIT_BOUNDS_MS + 1
end

local function add_count(counts, name, amount)
  counts[name] = (counts[name] or 0) + amount
end

-- Adds to `counts` what the grant of a job adds; returns how long it waited, ms. `forecast`: the ends of its p90 and
-- its p50, or nothing.
local function count_grant(counts, job, size, forecast, now)
  local wait_ms = math.max(0, math.floor((wall_us() - (job.waits_since or wall_us())) / 1000))
  local class = 'wait:' .. whole(math.max(LEAST_SIZE, math.min(MOST_SIZE, number_of(size, 0)))) .. ':'
  add_count(counts, class .. whole(bucket_of(wait_ms)), 1)
  add_count(counts, class .. 'ms', wait_ms)
  if forecast then
    local p90, p50 = string.match(forecast, '^(%d+) ?(%d*)$')
    for name, ends in pairs({ forecasts_ = p90 or '', forecasts_p50_ = p50 or '' }) do
      if ends ~= '' then
        add_count(counts, name .. (now <= tonumber(ends) and 'kept' or 'missed'), 1)
      end
    end
  end
  return wait_ms
end

-- Returns the incarnation of the base hash, if it has one, and field, value, … of the counters after adding.
local function add_counts(counts)
  local names = { 'incarnation' }
  for name in pairs(counts) do
    names[#names + 1] = name
  end
  local values, sums = redis.call('HMGET', base, unpack(names)), {}
  for i = 2, #names do
    sums[#sums + 1] = names[i]
    sums[#sums + 1] = whole(number_of(values[i], 0) + counts[names[i]])
  end
  return values[1], sums
end
