--- Move a job to another status, as its client asks.
--- Keeps: only drawn arrows are taken; the same status again changes nothing but renews running time.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] the status to move to
--- ARGV[3] fence the caller believes current, or ''
--- ARGV[4] error text to keep on the job, or ''
--- ARGV[5] with running: the servers it runs as, separated by spaces, or '' for as before
--- ARGV[6…] statuses the move may start from (models.MOVES)
--- Returns the status it had
--- Errors JOB_NOT_FOUND, STALE_FENCE, IMPOSSIBLE_MOVE
--- @include "become"

local request_id, to, fence, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local servers = ARGV[5]

local job = load_job(request_id)
if not job then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
if fence ~= '' and fence ~= job.fence then
  return redis.error_reply('STALE_FENCE fence ' .. fence .. ' is not the newest, which is ' .. job.fence)
end
if job.status == to then
  if to == 'running' then
    set_deadline(job.member, to)
    if servers ~= '' then
      redis.call('HSET', job_key(request_id), 'servers', servers)
    end
  end
  return job.status
end
for i = 6, #ARGV do
  if ARGV[i] == job.status then
    become(job, to, text ~= '' and { 'error', text } or servers ~= '' and { 'servers', servers } or {})
    return job.status
  end
end
return redis.error_reply('IMPOSSIBLE_MOVE a ' .. job.status .. ' job cannot become ' .. to)
