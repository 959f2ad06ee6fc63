--- Take, keep or give back a turn: to plan, or to poll one source.
--- Keeps: one process holds a turn at a time. A process that is refused leaves a mark, so that the
---   holder works once more before it gives the turn back. A dead holder's turn ends by itself. A
---   term is never given twice.
--- KEYS[1] base
--- ARGV
---   holder    string   the process that asks
---   action    string   'take' or 'give'
---   duration  decimal  ms after which the turn ends unless it is taken again
---   subject   string   the turn: 'plan', or 'source:<name>'
--- Returns
---   term      integer  grows with each change of holder; 0 when the process does not hold the turn
--- Errors none
--- @include "base"

local turn, again = key('turn:' .. subject), key('turn:' .. subject .. ':again')
local term, current_holder = string.match(redis.call('GET', turn) or '', '^(%d+) (.*)$')
if current_holder and current_holder ~= holder then
  redis.call('SET', again, '1', 'PX', duration)
  return reply({ term = 0 })
end
if action == 'give' and redis.call('DEL', again) == 0 then
  redis.call('DEL', turn)
  return reply({ term = 0 })
end
if action == 'take' then
  redis.call('DEL', again)
end
term = term or whole(redis.call('HINCRBY', base, 'term', 1))
redis.call('SET', turn, term .. ' ' .. holder, 'PX', duration)
return reply({ term = term })
