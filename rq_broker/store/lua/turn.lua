--- Take, keep or give back the lock on planning a type, or on polling one source.
--- Keeps: one process holds a lock at a time. A refused process sets `again`; the holder then runs one
---   more round before it gives the lock back. A dead holder's lock expires. A term is never given
---   twice.
--- KEYS[1] base
--- ARGV
---   holder    string   the process that asks
---   action    string   'take' or 'give'
---   duration  decimal  ms after which the lock expires unless it is taken again
---   subject   string   what is locked: 'plan', or 'source:<name>'
--- Returns
---   term      integer  grows with each change of holder; 0 when the process does not hold the lock
--- Errors none
--- @include "base"
--- @include "serial"
--- @include "wake"

local lock, again = key('turn:' .. subject), key('turn:' .. subject .. ':again')
local term, current_holder = string.match(redis.call('GET', lock) or '', '^(%d+) (.*)$')
if current_holder and current_holder ~= holder then
  redis.call('SET', again, '1', 'PX', duration)
  return reply({ term = 0 })
end
if action == 'give' and redis.call('DEL', again) == 0 then
  redis.call('DEL', lock)
  return reply({ term = 0 })
end
if action == 'take' then
  redis.call('DEL', again)
  if subject == 'plan' then
    begin_work('grant')
  end
end
term = term or next_serial('term')
redis.call('SET', lock, term .. ' ' .. holder, 'PX', duration)
return reply({ term = term })
