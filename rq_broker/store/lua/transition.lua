--- Move a job to another status, as its client asks.
--- Keeps: only the moves that the state machine draws are made. A move to the status that the job has
---   changes nothing, but renews its running time. No two running jobs have one server. A job beside
---   the line counts as queued. A job without callback runs on what it was offered only: it takes the offer
---   before a sweep ends that, or not at all. With `is_limited`, a move to 'queued' counts as a submit for
---   the most jobs that may wait: only a granted job, which did wait, goes back whatever waits.
--- KEYS[1] base
--- ARGV
---   request_id  string    the job's name
---   target      string    the status to move to
---   fence       decimal?  fence of the grant that the caller means
---   error_text  string?   error to keep on the job
---   servers     string?   with 'running': the servers it runs as, separated by spaces, instead of
---                         those it has; not given: as before
---   is_limited  flag      whether the policy's limits bind a job that is to wait again
---   origins     strings   the statuses the move may start from (domain/jobs.py)
---   owners      strings   whose job the caller may name; none: anybody's
---   known       fields    the job as the caller read it, see lib/unchanged; none: in any state
--- Returns
---   status      string    the status it had
--- Errors JOB_NOT_FOUND, CHANGED_MEANWHILE, STALE_FENCE, IMPOSSIBLE_MOVE, INVALID_SERVER, DUPLICATE_SERVER,
---   QUEUE_FULL
--- Audit the request_id; status, with its error, and servers. None where only the running time is renewed
--- @include "become"
--- @include "offer"
--- @include "owned"
--- @include "unchanged"
--- @include "servers"
--- @include "status_words"
--- @include "audit_log"

local job = load_own_job(request_id, owners)
if not job then
  return job_not_found()
end
local changed = refuse_changed(job, known)
if changed then
  return changed
end
if fence and fence ~= job.fence then
  return redis.error_reply('STALE_FENCE fence ' .. fence .. ' is not the newest, which is ' .. job.fence)
end
local from = job.status == 'beside' and 'queued' or job.status
local is_allowed = from == target
for _, origin in ipairs(origins) do
  is_allowed = is_allowed or origin == from
end
if not is_allowed then
  return redis.error_reply('IMPOSSIBLE_MOVE the job is ' .. status_words(from) .. ' and cannot move to ' .. target)
end
if from == 'queued' and target == 'running' and has_no_callback(job_key(request_id)) then
  if fence then
    return redis.error_reply('STALE_FENCE the offer of fence ' .. fence .. ' is over; the job is queued')
  end
  return redis.error_reply('IMPOSSIBLE_MOVE a queued job without callback has no offer to take: it runs once it is granted')
end
if is_limited and from ~= target and target == 'queued' and from ~= 'granted' then
  read_policy(QUEUE_LIMITS)
  local full = refuse_full(job.owner, 1, 0)
  if full then
    return full
  end
end
local named, refusal
if servers and target == 'running' then
  named, refusal = check_servers(request_id, servers, owners)
  if refusal then
    return refusal
  end
end

-- A job that is put back in the queue before its `not_before` waits beside the line again.
local function queue_again()
  local not_before = number_of(redis.call('HGET', job_key(request_id), 'not_before'), 0)
  if not_before <= now_ms() then
    become(job, 'queued', {})
  else
    become(job, 'beside', {})
    set_alarm(job.member, not_before)
  end
end

local old = { status = from, servers = named and servers_of(request_id) }

local function record_transition()
  local new = { status = target, servers = named and table.concat(named, ' ') }
  if from ~= target and error_text and target == 'error' then
    new.error = error_text
  end
  local before, after = audit_changes(old, new)
  if #before + #after > 0 then
    record_audit(actor, 'transition', request_id, before, after)
  end
end

-- Nothing is written before this line, and nothing below it can fail.
if from ~= target and (from == 'granted' or from == 'error') and job.destination == OFFER then
  note_answer(job.receiver)
end
if from ~= target and target == 'queued' then
  queue_again()
elseif from ~= target then
  become(job, target, error_text and { 'error', error_text } or {})
elseif target == 'running' then
  redis.call('HSET', job_key(request_id), 'renewed', whole(now_ms()))
  set_deadline(job.member, target, now_ms(), job.hold_at_most)
end
if named then
  keep_servers(request_id, named)
end
if actor then
  record_transition()
end
return reply({ status = from })
