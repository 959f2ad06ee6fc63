--- Take, keep or give back the turn to plan: many may plan safely, but one at a time wastes nothing.
--- Keeps: whoever is refused leaves word, so that the holder looks once more before it gives back;
---   a dead holder's turn ends by itself.
--- KEYS[1] base
--- ARGV[1] who asks
--- ARGV[2] 'take' or 'give'
--- ARGV[3] how long the turn lasts without being taken again, ms
--- Returns 1 when the asker holds the turn afterwards, else 0
--- Errors none
--- @include "base"

local who, what, span = ARGV[1], ARGV[2], ARGV[3]

local turn, again = key('turn'), key('turn:again')
local holder = redis.call('GET', turn)
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
redis.call('SET', turn, who, 'PX', span)
return 1
