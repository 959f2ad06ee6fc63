--- Change fields of the type's policy, or make a type without changing any.
--- Keeps: `names` stays while the type has a job, since the names of its jobs depend on it. Other fields stay
---   as they are; every notifier reads the policy in its next admission pass. What owners used is forgotten
---   when the policy stops to share. Sweeps count the deadlines anew of the jobs that are in a status whose
---   span changes.
--- KEYS[1] base
--- ARGV
---   known    fields  policy field and the value that the caller goes by; where one has another by now, nothing
---                    is changed; none: change it in any case
---   changes  fields  policy field and its new value: '' for null, spans in ms
--- Returns
---   changed  flag    false if a field has not the value that the caller knew
--- Errors CONFLICT
--- Audit the type; the fields that change, as the base hash has them; of a type that is made so, with none
--- @include "base"
--- @include "deadline"
--- @include "has_policy"
--- @include "queue"
--- @include "audit_log"

local STATUSES = { 'queued', 'beside', 'granted', 'running', 'done', 'error' }

local function has_jobs()
  local count = 0
  for _, status in ipairs(STATUSES) do
    count = count + redis.call('ZCARD', key('status:' .. status))
  end
  return count > 0
end

for i = 1, #known, 2 do
  if policy_value(known[i]) ~= known[i + 1] then
    return reply({ changed = false })
  end
end
for i = 1, #changes, 2 do
  if changes[i] == 'names' and policy_value('names') ~= changes[i + 1] and has_jobs() then
    return redis.error_reply('CONFLICT names can change only while the type has no job, done or in error included')
  end
end

local is_made = #changes == 0 and actor and not has_policy() and not has_jobs()
  and redis.call('EXISTS', key('hosts'), key('sources'), key('keys')) == 0

-- Nothing is written before this line, and nothing below it can fail.
local is_recounted = false
local old, new = {}, {} -- field → text, of those that the caller gives

local function recount_if_changed(field, value)
  for status, span in pairs(SPANS) do
    if span == field and policy_value(field) ~= value then
      redis.call('HSET', base, 'recount:' .. status, '')
      is_recounted = true
    end
  end
end

for i = 1, #changes, 2 do
  local field, value = changes[i], changes[i + 1]
  old[field], new[field] = policy_value(field), value
  recount_if_changed(field, value)
  redis.call('HSET', base, 'policy:' .. field, value)
  if field == 'share' and value == '' then
    redis.call('DEL', key('past_usage'))
  elseif field == 'limits' then
    add_to(base, 'capacity_number', 1) -- warnings at submit name limits
  end
end
if is_recounted then
  wake('sweep')
end
add_to(base, 'policy_number', 1)
wake('grant')
local before, after = audit_changes(old, new)
if #after > 0 or is_made then
  -- The line that tells that no more are written is the last.
  local most = old.audit_log and math.max(number_of(old.audit_log, 0), number_of(new.audit_log, 0))
  record_audit(actor, 'set_policy', type_name(), #before > 0 and before, after,
    most and { whole(most), redis.call('HGET', base, 'audit_ends') })
end
return reply({ changed = true })
