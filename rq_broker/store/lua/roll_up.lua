--- Add what was counted of a type's events to its reports, and delete old ones.
--- Keeps: each event is counted once, whatever notifiers race or die: what is counted and how far are written together,
---   and only by a caller that knows how far it was counted. What is kept is bounded, by time and in number.
--- KEYS[1] base
--- ARGV
---   known    string   what report_state returned as `state`
---   state    string   how far events are counted now, JSON
---   now      integer  what it returned as `now`, ms: steps that end by then are deleted
---   steps    rows     an hour or a day that changes
---     step   string   its name, `hour:<seconds since 1970>` or `day:…`
---     ends   integer  when it is deleted, ms since 1970
---     gone   strings  its groups to delete
---     sums   fields   group, and what is counted of it, JSON
--- Returns
---   is_counted  flag  whether this was written; if not, another notifier counted meanwhile
--- Errors none
--- @include "base"
--- @include "batches"

local MOST_STEPS = 600 -- more than are kept of both kinds: bounds what is kept if clocks step far ahead

local current = redis.pcall('GET', key('report'))
if (type(current) == 'string' and current or '') ~= known then
  return reply({ is_counted = false })
end

local function forget_step(step)
  redis.call('DEL', key('report:' .. step))
  redis.call('ZREM', key('reports'), step)
end

-- 1. Write the steps that changed.
for _, row in ipairs(steps) do
  local name = key('report:' .. row.step)
  for _, group in ipairs(row.gone) do
    redis.call('HDEL', name, group)
  end
  set_fields(name, row.sums)
  redis.call('ZADD', key('reports'), whole(row.ends), row.step)
end

-- 2. Delete those whose time is over.
for _, step in ipairs(redis.call('ZRANGEBYSCORE', key('reports'), '-inf', whole(now))) do
  forget_step(step)
end
local excess = redis.call('ZCARD', key('reports')) - MOST_STEPS
for _, step in ipairs(excess > 0 and redis.call('ZRANGE', key('reports'), 0, excess - 1) or {}) do
  forget_step(step)
end
redis.call('SET', key('report'), state)
return reply({ is_counted = true })
