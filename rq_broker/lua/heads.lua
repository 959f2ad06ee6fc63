--- Read the first jobs of each waiting shape, shapes in the order of their first job.
--- Keeps: cost follows the shapes looked at, not the jobs that wait. Among shapes that tie, the
---   window may end anywhere; within it they stand in the order of their first jobs.
--- KEYS[1] base
--- ARGV[1] rank of the first shape to read
--- ARGV[2] how many shapes to read
--- ARGV[3] how many jobs of each
--- Returns {how many shapes wait in all, {digest, shape JSON, jobs waiting, when the first was first
---   passed (ms) or '', member, priority, …} a shape}
--- Errors none
--- @include "base"

local rank, shapes, jobs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local found = {}
for _, shape in ipairs(redis.call('ZRANGE', key('heads'), rank, rank + shapes - 1)) do
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
table.insert(found, 1, redis.call('ZCARD', key('heads')))
return found
