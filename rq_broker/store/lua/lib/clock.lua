--- The time by which leases and deadlines end.
--- @include "wall"

local function now_ms()
  return math.floor(wall_us() / 1000)
end
