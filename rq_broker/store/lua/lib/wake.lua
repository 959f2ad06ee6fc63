--- Wake-ups: how a script tells the notifiers that a type has work for one of their steps: `grant`,
--- `deliver`, `unproven` (a delivery to an unproven destination), `sweep` or `test` (of a receiver).
---
--- Work that is due now leaves its marker in `wake`, and is published once: a marker that is already there
--- was published before. The script that does the work removes the marker before it begins, so whatever
--- becomes due meanwhile is published again. Work that falls due later is published only if it comes before
--- all other work of its set: whoever watches the set knows of the others.
---
--- A message is `<type> <marker> <ms until it is due> <level>`, see store/wakes.py. Messages may be lost: the
--- sets are the truth, and notifiers check them when they have missed some, and now and then.
--- @include "base"
--- @include "batches"
--- @include "clock"

-- A client without the right to publish still does its work; the notifiers find it in their next check.
local function publish(marker, delay)
  redis.pcall('PUBLISH', 'rqb:wake', type_name() .. ' ' .. marker .. ' ' .. whole(delay) .. ' 0')
end

-- Tells the notifiers of work that is due now.
local function wake(marker)
  if redis.call('ZADD', key('wake'), 0, marker) == 1 then
    publish(marker, 0)
  end
end

-- Notes that the work of some markers begins.
local function begin_work(...)
  redis.call('ZREM', key('wake'), ...)
end

-- Adds to a set of times a member whose work is due at `when`, ms.
local function set_due(set, when, member, marker)
  redis.call('ZADD', key(set), whole(when), member)
  local delay = when - now_ms()
  if delay > 0 and redis.call('ZRANK', key(set), member) == 0 then
    publish(marker, delay)
  end
end

-- Does the same for several members.
local function set_due_together(set, when, members, marker)
  add_at(key(set), whole(when), members)
  local delay, first = when - now_ms(), redis.call('ZRANGE', key(set), 0, 0)[1]
  for _, member in ipairs(members) do
    if delay > 0 and member == first then
      publish(marker, delay)
    end
  end
end

-- Wakes `marker` at `when`, ms. A later call with the same name replaces it.
local function wake_later(marker, name, when)
  set_due('later', when, marker .. ':' .. name, 'sweep')
end
