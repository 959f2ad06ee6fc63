--- Take, keep or give back the lock on planning a type, or on polling one source.
--- Keeps: one process holds a lock at a time. A refused process sets `again`; the holder then runs one
---   more round before it gives the lock back. A term is never given twice. No clock ends a lock: the
---   holder takes it again and again, and a process that saw it unchanged for long enough, by a clock
---   of its own, takes it from a dead holder.
--- KEYS[1] base
--- ARGV
---   holder    string   the process that asks
---   action    string   'take'; 'keep', during a round, without another; or 'give'
---   subject   string   what is locked: 'plan', or 'source:<name>'
---   dead      string?  `seen` of an earlier reply, if its holder is taken for dead
--- Returns
---   term      integer  grows with each change of holder; 0 when the process does not hold the lock
---   seen      string?  the lock as another process holds it: it changes whenever that takes it again
--- Errors none
--- @include "turn"

local own, other = ask_for_turn(subject, holder, dead)
if not own then
  return reply({ term = 0, seen = other })
end
if action == 'give' and redis.call('DEL', again_key(subject)) == 0 then
  redis.call('DEL', lock_key(subject))
  return reply({ term = 0, seen = nil })
end
if action == 'take' then
  begin_round(subject)
end
return reply({ term = hold_turn(subject, holder, own), seen = nil })
