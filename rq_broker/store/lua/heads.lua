--- Read the first jobs of each waiting shape, shapes in the order of their first job.
--- Keeps: cost follows the shapes looked at, not the jobs that wait. Shapes that tie are ranked by
---   digest, so a window may end anywhere among them; within it they stand in the order of their
---   first jobs, and those that stand first in line are there, whatever their digest. Where many
---   shapes are read, fewer jobs of each are: Redis does nothing else meanwhile.
--- KEYS[1] base
--- ARGV[1] rank of the first shape to read
--- ARGV[2] how many shapes to read
--- ARGV[3] how many jobs of each, at most
--- ARGV[4] where not all shapes fit: of how many jobs, first in line, to read the shapes besides
--- Returns {how many shapes wait in all, {digest, shape JSON, jobs waiting, when the first was first
---   passed (ms) or '', member, priority, …} a shape}
--- Errors none
--- @include "base"
--- @include "job"

local MOST, LEAST = 20000, 8 -- jobs in all, unless that leaves less of each than a pass begins with

local rank, shapes, jobs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local earliest = tonumber(ARGV[4])

local total, window, known = redis.call('ZCARD', key('heads')), {}, {}
local function show(shape)
  if shape and not known[shape] then
    known[shape] = true
    window[#window + 1] = shape
  end
end

for _, shape in ipairs(redis.call('ZRANGE', key('heads'), rank, rank + shapes - 1)) do
  show(shape)
end
if earliest > 0 and total > shapes then
  for _, member in ipairs(redis.call('ZRANGE', key('status:queued'), 0, earliest - 1)) do
    show(redis.call('HGET', job_key(request_id_of(member)), 'shape'))
  end
end

jobs = math.min(jobs, math.max(math.floor(MOST / #window), LEAST))
local found = {}
for _, shape in ipairs(window) do
  local set = key('shape:' .. shape)
  local entry = redis.call('ZRANGE', set, 0, jobs - 1, 'WITHSCORES')
  table.insert(entry, 1, redis.call('HGET', key('passed'), entry[1]) or '')
  table.insert(entry, 1, redis.call('ZCARD', set))
  table.insert(entry, 1, redis.call('HGET', key('shapes'), shape) or '')
  table.insert(entry, 1, shape)
  found[#found + 1] = entry
end

-- Equal priorities are first come, first served across shapes too; heads has ties by digest.
local function first_of(entry)
  return tonumber(entry[6] or 'inf'), entry[5] or ''
end

table.sort(found, function(a, b)
  local p, member = first_of(a)
  local q, other = first_of(b)
  if p == q then
    return tonumber(string.sub(member, 1, 16)) < tonumber(string.sub(other, 1, 16))
  end
  return p < q
end)
table.insert(found, 1, total)
return found
