--- Delete an empty type: its policy, its signing keys, and what ended jobs left behind.
--- Keeps: a type with jobs, hosts, or a source that is polled stays as it is. The counters
---   of its base hash stay, which never go back.
--- KEYS[1] base
--- ARGV none
--- Returns
---   jobs     integer  jobs that it has
---   hosts    integer  hosts that it has
---   sources  integer  sources that are polled
---   deleted  string?  what somebody had set and is deleted, JSON; not given without `actor`, or for nothing. It
---                     stays in the base as `dropped`, and is returned again, until its second line is written
--- Errors none
--- Audit the type; its policy as the base hash has it, how many sources and owners' keys went with it; the log
---   of the type has the line, and record_drop writes another into that of the installation
--- @include "base"
--- @include "audit_log"
--- @include "clock"
--- @include "destination"
--- @include "left_behind"
--- @include "source"

local STATUSES = { 'queued', 'beside', 'granted', 'running', 'done', 'error' }

-- 1. Count what is left.
local jobs, hosts, sources = 0, redis.call('ZCARD', key('hosts')), 0
for _, status in ipairs(STATUSES) do
  jobs = jobs + redis.call('ZCARD', key('status:' .. status))
end
local now, names = now_ms(), redis.call('SMEMBERS', key('sources'))
for _, source in ipairs(names) do
  if not is_abandoned(source, now) then
    sources = sources + 1
  end
end
if jobs + hosts + sources > 0 then
  return reply({ jobs = jobs, hosts = hosts, sources = sources, deleted = nil })
end

-- Returns what is deleted of all that somebody has set, as name, value, …
local function describe()
  local before = {}
  for _, field in ipairs(redis.call('HKEYS', base)) do
    if string.match(field, '^policy:') then
      before[#before + 1] = field
      before[#before + 1] = redis.call('HGET', base, field)
    end
  end
  for _, counted in ipairs({ { 'sources', #names }, { 'keys', redis.call('HLEN', key('keys')) } }) do
    if counted[2] > 0 then
      before[#before + 1] = counted[1]
      before[#before + 1] = counted[2]
    end
  end
  return before
end

local deleted = actor and describe()

-- 2. Delete the sources that are polled no more, and the records of destinations.
for _, source in ipairs(names) do
  redis.call('DEL', key('source:' .. source), key('turn:source:' .. source), key('turn:source:' .. source .. ':again'))
end
for _, receiver in ipairs(redis.call('ZRANGE', key('destinations'), 0, -1)) do
  redis.call('DEL', key('destination:' .. receiver), key('owners:' .. destination_of(receiver)))
end
redis.call('DEL', key('sources'), key('destinations'), key('keys'), key('parked'), key('parting'), key('deadlines'),
  key('deliveries'), key('prompt'), key('lost'))

-- 3. Delete the policy, and all that every empty type leaves behind.
local is_new = redis.call('HEXISTS', base, 'policy_number') == 0
for _, field in ipairs(redis.call('HKEYS', base)) do
  if string.match(field, '^policy:') or string.match(field, '^recount:') then
    redis.call('HDEL', base, field)
  end
end
if not is_new then -- notifiers that know the policy read it anew
  add_to(base, 'policy_number', 1)
  redis.call('HSET', base, 'policy_dropped', redis.call('HGET', base, 'policy_number'))
end
delete_what_is_left()
local line = actor and #deleted > 0 and audit_object(deleted)
if line then
  record_audit(actor, 'drop_type', type_name(), line)
  redis.call('HSET', base, 'dropped', line)
end
keep_audit_for_a_while()
return reply({ jobs = 0, hosts = 0, sources = 0, deleted = actor and redis.call('HGET', base, 'dropped') or nil })
