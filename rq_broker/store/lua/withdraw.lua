--- Take a job out altogether, and release what it holds.
--- Keeps: its request_id and callback are free afterwards, and no index names it. A withdrawal that is
---   repeated with its key withdraws no job that took the name since. A job that cannot be read is deleted.
--- KEYS[1] base
--- ARGV
---   request_id     string    the job's name
---   id             decimal?  ID that the caller read: another job may have the name since
---   callback       string    digest of the job's callback
---   withdraw_key   string?   digest of the job's name, the caller's owners and the call's idempotency key; not
---                            given: none
---   only_if_ended  flag      withdraw it only if its retention has ended
---   only_in        string?   withdraw it only if it has this status
---   owners         strings   whose job the caller may name; none: anybody's
---   known          fields    the job as the caller read it, see lib/unchanged; none: in any state
--- Returns
---   withdrawn      flag      false if its retention has not ended
---   replayed       flag      whether an earlier call with this key withdrew it
--- Errors JOB_NOT_FOUND, ALREADY_WITHDRAWN, CHANGED_MEANWHILE, CONFLICT
--- Audit the request_id; owner_id, status and priority, or that the job was damaged
--- @include "forget"
--- @include "audit_log"
--- @include "withdrawn"
--- @include "owned"
--- @include "unchanged"
--- @include "status_words"

if withdraw_key and is_recorded(key('withdrawals'), withdraw_key) then
  return reply({ withdrawn = true, replayed = true })
end
local job = load_own_job(request_id, owners)
local is_damaged = not job and not load_job(request_id) and redis.call('EXISTS', job_key(request_id)) == 1
if is_damaged and #owners == 0 and not only_if_ended then
  -- Nobody can read it, so nobody can use it. Which sets name it is unknown: the audit finds those.
  redis.call('DEL', job_key(request_id), key('holds:' .. request_id), key('seen:' .. request_id),
    key('attempts:' .. request_id))
  record_withdrawal(request_id, nil, withdraw_key)
  record_audit(actor, 'withdraw', request_id, { 'damaged', true })
  return reply({ withdrawn = true, replayed = false })
end
if not job or job.id ~= id then
  local array = array_place(request_id)
  if is_withdrawn(request_id, owners) or array and is_withdrawn(array .. '[*]', owners) then
    return redis.error_reply('ALREADY_WITHDRAWN the job ' .. request_id_in(request_id) .. ' was withdrawn before')
  end
  return job_not_found()
end
local changed = refuse_changed(job, known)
if changed then
  return changed
end
local status = job.status == 'beside' and 'queued' or job.status
if only_in and status ~= only_in then
  return redis.error_reply('CONFLICT the job is ' .. status_words(status) .. ' by now, not ' .. status_words(only_in))
end
if only_if_ended then
  local ends = redis.call('ZSCORE', key('deadlines'), job.member)
  if not ends or tonumber(ends) > now_ms() or job.status == 'granted' or job.status == 'running' then
    return reply({ withdrawn = false, replayed = false })
  end
end
forget(job, callback)
if not only_if_ended then
  record_withdrawal(request_id, job.owner, withdraw_key)
  record_audit(actor, 'withdraw', request_id,
    { 'owner_id', job.owner, 'status', status, 'priority', tonumber(job.priority) })
end
return reply({ withdrawn = true, replayed = false })
