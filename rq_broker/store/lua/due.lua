--- Read what work a type has, now and next.
--- Keeps: nothing changes. It reads the sets that are the truth, so work whose wake-up was lost is found.
--- KEYS[1] base
--- ARGV none
--- Returns
---   deliver  integer?  ms until the next delivery falls due; not given if there is none
---   sweep    integer?  ms until a sweep has work; not given if nothing waits for one
---   waiting  flag      whether jobs wait for capacity
---   unused   flag      whether nothing is left of the type that forget_type would keep, as far as seen here
---   markers  strings   markers of the work that is due and that no step has begun
--- Errors none
--- @include "base"
--- @include "has_policy"
--- @include "next_sweep"

-- 1. A type in which nothing waits for a step costs two commands, with two more to see whether it is used.
if redis.call('EXISTS', key('wake'), key('heads'), key('prompt'), key('deliveries'), key('deadlines'),
    key('alarms'), key('ended'), key('parked'), key('later'), key('failing')) == 0 then
  local is_used = redis.call('EXISTS', key('status:granted'), key('status:running'), key('status:done'),
    key('status:error'), key('status:beside'), key('hosts'), key('sources'), key('keys'), key('destinations')) > 0
    or has_policy()
  return reply({ markers = {}, deliver = nil, sweep = nil, waiting = false, unused = not is_used })
end

-- 2. Find when the steps have work.
local deliver
for _, set in ipairs({ 'prompt', 'deliveries' }) do
  local first = redis.call('ZRANGE', key(set), 0, 0, 'WITHSCORES')
  if first[1] then
    local delay = math.max(0, first[2] - now_ms())
    deliver = math.min(delay, deliver or delay)
  end
end
return reply({
  markers = redis.call('ZRANGE', key('wake'), 0, -1),
  deliver = deliver,
  sweep = ms_until_sweep(),
  waiting = redis.call('EXISTS', key('heads')) == 1,
  unused = false,
})
