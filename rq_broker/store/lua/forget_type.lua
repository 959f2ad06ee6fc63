--- Delete what an empty type leaves behind.
--- Keeps: a type with jobs, hosts, sources, signing keys, a policy, or a destination called within the last day
---   stays as it is, and so does one in which something happened within the last minute. The base hash stays,
---   some 200 bytes: counters never go back, so nobody takes what was forgotten for lost.
--- KEYS[1] base
--- ARGV none
--- Returns
---   forgotten  flag  whether the type is empty
--- Errors none
--- @include "base"
--- @include "audit_log"
--- @include "has_policy"
--- @include "left_behind"
--- @include "wall"

local QUIET_MS = 60000 -- time for readers of a type's events to read the last of them

-- Sets that hold something while the type is in use.
local USED = {
  'status:queued', 'status:beside', 'status:granted', 'status:running', 'status:done', 'status:error', 'hosts', 'sources', 'keys',
  'destinations', 'parting', 'deadlines', 'deliveries', 'prompt', 'parked', 'lost',
}

for _, name in ipairs(USED) do
  if redis.call('EXISTS', key(name)) == 1 then
    return reply({ forgotten = false })
  end
end
for _, field in ipairs(redis.call('HKEYS', base)) do
  if string.sub(field, 1, 7) == 'policy:' then
    return reply({ forgotten = false })
  end
end
if has_policy() then
  return reply({ forgotten = false })
end
local last = redis.call('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)[1]
if last and tonumber(string.match(last[1], '^%d+')) > wall_us() / 1000 - QUIET_MS then
  return reply({ forgotten = false })
end

delete_what_is_left()
keep_audit_for_a_while()
return reply({ forgotten = true })
