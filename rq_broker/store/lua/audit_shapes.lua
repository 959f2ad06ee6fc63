--- Read what stands of shapes of waiting jobs.
--- Keeps: nothing is written; all shapes are read at one instant.
--- KEYS[1] base
--- ARGV
---   shapes    strings  digests of shapes
--- Returns
---   shapes    rows     each of them, in this order
---     demand  string   what it stands for; '' where `shapes` does not have it
---     head    string   its score in `heads`; '' where it is not there
---     first   string   priority of its first job; '' where it has none
--- Errors none
--- @include "base"

local rows = {}
for i, shape in ipairs(shapes) do
  local first = redis.pcall('ZRANGE', key('shape:' .. shape), 0, 0, 'WITHSCORES')
  rows[i] = {
    demand = redis.call('HGET', key('shapes'), shape) or '',
    head = redis.call('ZSCORE', key('heads'), shape) or '',
    first = not first.err and first[2] or '',
  }
end
return reply({ shapes = rows })
