--- Change how long a job says it will hold.
--- Keeps: a queued job keeps its place, the mark that it was passed, and its forecast. A job that holds
---   capacity is expected to end that long after its grant; if it does not say any more, nothing is
---   predicted of it here. A caller that does not know the job's shape writes nothing.
--- KEYS[1] base
--- ARGV
---   request_id      string    the job's name
---   expected        integer?  how long it holds from its grant on, ms; not given: it does not say
---   known_shape     string?   digest of the shape that the job has now; not given if unknown
---   shape           string?   digest of `demand`, 16 characters (keys.digest)
---   demand          string?   the shape that it gets, canonical JSON (Shape.canonical)
---   owners          strings   whose job the caller may name; none: anybody's
---   known           fields    the job as the caller read it, see lib/unchanged; none: in any state
--- Returns
---   current_shape   string?   digest of the job's shape, if `known_shape` is another
---   current_demand  string?   what that shape stands for
--- Errors JOB_NOT_FOUND, CHANGED_MEANWHILE, CONFLICT, EXPECTED_TOO_LONG
--- Audit the request_id; expected in seconds
--- @include "base"
--- @include "wall"
--- @include "owned"
--- @include "unchanged"
--- @include "status_words"
--- @include "queue"
--- @include "expected"
--- @include "audit_log"

-- 1. Refuse what cannot be said, and a caller that computed the new shape from another.
local name = job_key(request_id)
local job = load_own_job(request_id, owners)
if not job then
  return job_not_found()
end
local changed = refuse_changed(job, known)
if changed then
  return changed
end
if job.status == 'done' or job.status == 'error' then
  return redis.error_reply('CONFLICT ' .. request_id_in(request_id) .. ' is ' .. status_words(job.status) .. ': it will not hold anything')
end
local refusal = expected and refuse_expected(expected)
if refusal then
  return refusal
end
local is_queued = job.status == 'queued'
if known_shape ~= job.shape then
  local current_demand = is_queued and redis.call('HGET', key('shapes'), job.shape)
    or redis.call('HGET', name, 'demand')
  return reply({ current_shape = job.shape, current_demand = current_demand or '' })
end

-- 2. Change the shape.
if shape ~= job.shape then
  redis.call('HSET', name, 'shape', shape)
  if is_queued then
    leave_shape(job.member, job.shape)
    join_shape(job.member, job.priority, shape, demand)
  else
    redis.call('HSET', name, 'demand', demand)
  end
end

-- 3. Keep the least that it says while it holds: its holding time is compared with that when it ends, so
-- that an owner is not believed for what it admits at the end.
local f = redis.call('HMGET', name, 'granted', 'expected', 'least_expected')
redis.call('HSETNX', name, 'submitted_expected', f[2] or '') -- a repeated submit is compared with it
local is_holding, least = f[1], tonumber(f[3] or f[2] or expected or '')
if is_holding and least then
  redis.call('HSET', name, 'least_expected', whole(math.min(least, expected or least)))
end

-- 4. Change what the job says, and what is predicted of its hold.
if expected then
  redis.call('HSET', name, 'expected', whole(expected))
  if is_holding then
    redis.call('HSET', name, 'predicted', whole(expected), 'predicted_from', 'expected')
  end
else
  redis.call('HDEL', name, 'expected', 'predicted', 'predicted_from')
end
redis.call('HSET', name, 'updated', whole(wall_us()))
record_event(job, job.status, 'expected')
if is_holding then
  wake('grant')
end
local said = tonumber(f[2] or '')
if said ~= expected then
  record_audit(actor, 'set_expected', request_id, said and { 'expected', said / 1000 },
    expected and { 'expected', expected / 1000 })
end
return reply({ current_shape = nil, current_demand = nil })
