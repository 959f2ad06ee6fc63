--- Count the jobs of arrays with `at_once` that hold capacity.
--- Keeps: nothing is written.
--- KEYS[1] base
--- ARGV
---   arrays   strings   names of arrays
--- Returns
---   counts   integers  how many jobs of each hold capacity
--- Errors none
--- @include "base"

local counts = {}
for i, array in ipairs(arrays) do
  counts[i] = redis.call('SCARD', key('holding:' .. array))
end
return reply({ counts = counts })
