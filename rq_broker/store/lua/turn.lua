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
--- @include "base"
--- @include "serial"
--- @include "wake"

local lock, again = key('turn:' .. subject), key('turn:' .. subject .. ':again')
local text = redis.call('GET', lock) or ''
local term, beat, current_holder = string.match(text, '^(%d+):(%d+) (.*)$')
local is_held = text ~= '' and text ~= dead
if is_held and current_holder ~= holder then
  redis.call('SET', again, '1')
  return reply({ term = 0, seen = text })
end
if action == 'give' and redis.call('DEL', again) == 0 then
  redis.call('DEL', lock)
  return reply({ term = 0, seen = nil })
end
if action == 'take' then
  redis.call('DEL', again)
  if subject == 'plan' then
    begin_work('grant')
  end
end
if current_holder ~= holder then
  term, beat = next_serial('term'), '0'
  redis.call('HSET', base, 'term', term)
end
redis.call('SET', lock, term .. ':' .. whole(beat + 1) .. ' ' .. holder)
return reply({ term = term, seen = nil })
