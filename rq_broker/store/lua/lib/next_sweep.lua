--- When a sweep has work: the first of the times that sweeps wait for.
--- @include "base"
--- @include "clock"
--- @include "recent"

-- Set → ms that pass between the time in the set and the sweep.
local SWEPT_SETS = { deadlines = 0, alarms = 0, ended = 0, parked = 0, later = 0, failing = RECENT_MS }

-- Returns the ms until the next sweep has work, nil if nothing waits for one.
local function ms_until_sweep()
  local next_sweep = math.huge
  for set, span in pairs(SWEPT_SETS) do
    local first = redis.call('ZRANGE', key(set), 0, 0, 'WITHSCORES')
    if first[1] then
      next_sweep = math.min(next_sweep, first[2] + span)
    end
  end
  if next_sweep < math.huge then
    return math.max(0, next_sweep - now_ms())
  end
end
