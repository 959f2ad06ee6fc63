--- Take, keep or give back the turn at something: to plan, or to poll one source.
--- Keeps: one holds it at a time; whoever is refused leaves word, so that the holder looks once more
---   before it gives back; a dead holder's turn ends by itself; a term is never given twice.
--- KEYS[1] base
--- ARGV[1] who asks
--- ARGV[2] 'take' or 'give'
--- ARGV[3] how long the turn lasts without being taken again, ms
--- ARGV[4] at what: 'plan' or 'source:<name>'
--- Returns the term, which grows with each change of holder, or 0 when the asker does not hold it
--- Errors none
--- @include "base"

local who, what, span, about = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local turn, again = key('turn:' .. about), key('turn:' .. about .. ':again')
local term, holder = string.match(redis.call('GET', turn) or '', '^(%d+) (.*)$')
if holder and holder ~= who then
  redis.call('SET', again, '1', 'PX', span)
  return 0
end
if what == 'give' and redis.call('DEL', again) == 0 then
  redis.call('DEL', turn)
  return 0
end
if what == 'take' then
  redis.call('DEL', again)
end
term = term or whole(redis.call('HINCRBY', base, 'term', 1))
redis.call('SET', turn, term .. ' ' .. who, 'PX', span)
return tonumber(term)
