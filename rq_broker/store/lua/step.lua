--- Take a step of the wall clock out of the type's clock.
--- Keeps: a step is taken out once, however many processes noticed it.
--- KEYS[1] base
--- ARGV
---   offset   integer  what was added to the wall clock when the caller read it, ms
---   step     integer  by how much the wall clock is ahead of where it should be, ms
--- Returns
---   taken    flag     false if another process has changed the offset since
--- Errors none
--- @include "base"
--- @include "clock"

local wall_ms, current_offset = read_clock()
if current_offset ~= offset then
  return reply({ taken = false })
end
moment = wall_ms + offset - step
record_step(step, offset - step)
redis.call('HSET', base, 'clock_latest', whole(moment))
return reply({ taken = true })
