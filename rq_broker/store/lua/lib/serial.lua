--- Numbers that never come again, not even after Redis lost what it had: fences and terms.
--- @include "base"
--- @include "wall"

-- Returns the next number of a counter of the base, as text; the caller stores it. It is above all
-- before, and not below the µs since 1970: so it is above those of a state that was lost, too.
local function next_serial(counter)
  return whole(math.max(number_of(redis.call('HGET', base, counter), 0) + 1, wall_us()))
end
