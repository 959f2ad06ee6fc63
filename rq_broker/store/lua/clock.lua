--- Read the type's clock.
--- Keeps: nothing is written, so that the reader alone decides what the values mean.
--- KEYS[1] base
--- ARGV none
--- Returns
---   wall    integer  Redis's wall clock, µs since 1970
---   offset  integer  what to add to it for the type's time, ms
---   latest  integer  the latest time of the type that was noted, ms; its time is not before that
--- Errors none
--- @include "base"
--- @include "clock"

local _, offset, latest = read_clock()
return reply({ wall = wall_us(), offset = offset, latest = latest })
