--- Read one job.
--- Keeps: fields, priority and position are of one instant.
--- KEYS[1] base
--- ARGV[1] request_id
--- Returns {priority, position (1 = next, '' unless queued), field, value, …}
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "job"

local request_id = ARGV[1]

local job = load_job(request_id)
if not job then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end
local position = ''
if job.status == 'queued' then
  position = whole(redis.call('ZRANK', key('status:queued'), job.member) + 1)
end
local reply = redis.call('HGETALL', job_key(request_id))
table.insert(reply, 1, position)
table.insert(reply, 1, job.priority)
return reply
