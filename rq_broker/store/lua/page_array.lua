--- List jobs of an array by their numbers, one page at a time.
--- Keeps: nothing is written.
--- KEYS[1] base
--- ARGV
---   array        string    the array's name
---   start        integer   index at which to begin
---   limit        integer   how many indexes to go through, at most 500; large jobs leave fewer
---   status       string?   list jobs of this status only
---   owners       strings   list jobs of these owners only; none: of every owner
--- Returns
---   next         integer?  index at which to go on; not given at the end
---   clock_offset integer   ms by which the type's clock is ahead of the wall clock
---   jobs         rows      the jobs
---     priority   decimal   its priority
---     request_id string    its name
---     position   integer?  its place in the queue, 1 = next; given while it is queued
---     fields     fields    the job hash
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "array"
--- @include "owned"

local MOST_BYTES = 262144 -- as in page
local size = number_of(redis.pcall('HGET', array_key(array), 'count') or '')
if not size then
  return redis.error_reply('JOB_NOT_FOUND no array has this name in this type')
end
local jobs, bytes, index = {}, 0, start
while index < math.min(start + limit, size) and bytes < MOST_BYTES do
  local job = load_job(array .. '[' .. whole(index) .. ']')
  local shown = job and (job.status == 'beside' and 'queued' or job.status)
  if job and array_of_job(job) and (not status or status == shown) and is_own(job.owner, owners) then
    local fields = redis.call('HGETALL', job_key(job.request_id))
    for i = 2, #fields, 2 do
      bytes = bytes + #fields[i]
    end
    local rank = job.status == 'queued' and redis.call('ZRANK', key('status:queued'), job.member)
    jobs[#jobs + 1] = {
      priority = job.priority, request_id = job.request_id, position = rank and rank + 1 or nil, fields = fields,
    }
  end
  index = index + 1
end
return reply({
  next = index < size and whole(index) or nil,
  clock_offset = number_of(redis.call('HGET', base, 'clock_offset'), 0),
  jobs = jobs,
})
