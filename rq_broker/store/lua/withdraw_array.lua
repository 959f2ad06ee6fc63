--- Take some jobs of an array out, as withdraw takes one; or what is left of an array without jobs.
--- Keeps: as withdraw. A job that is not the one that the caller read stays.
--- KEYS[1] base
--- ARGV
---   array          string    the array's name
---   owner_id       string    its owner
---   withdraw_key   string?   as of withdraw, of the name of the array as a whole; not given: none
---   is_last        flag      the withdrawal ends with these jobs: note it
---   jobs           rows      jobs to withdraw
---     request_id   string    its name
---     id           decimal   the ID that the caller read
---     callback     string    digest of its callback
--- Returns
---   replayed       flag      whether an earlier call with this key withdrew the array; then nothing is done
--- Errors none
--- Audit the array as a whole, by the verb withdraw; owner_id, and how many of its jobs
--- @include "audit_log"
--- @include "forget"
--- @include "withdrawn"

if withdraw_key and is_recorded(key('withdrawals'), withdraw_key) then
  return reply({ replayed = true })
end
local withdrawn = 0
for _, row in ipairs(jobs) do
  local job = load_job(row.request_id)
  if job and job.id == row.id and job.owner == owner_id then
    forget(job, row.callback)
    withdrawn = withdrawn + 1
  end
end
if withdrawn > 0 then
  record_audit(actor, 'withdraw', array .. '[*]', { 'owner_id', owner_id, 'jobs', withdrawn })
end
if is_last then
  if redis.call('HGET', array_key(array), 'owner') == owner_id then
    forget_array(array)
  end
  record_withdrawal(array .. '[*]', owner_id, withdraw_key)
end
return reply({ replayed = false })
