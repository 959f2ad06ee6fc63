--- Give the waiting jobs of an array a priority, some of them at a time.
--- Keeps: each has a priority of its own from then on, as after reorder; jobs that do not wait stay as they are.
--- KEYS[1] base
--- ARGV
---   array     string   the array's name
---   owner_id  string   its owner
---   start     integer  index of the first job
---   limit     integer  how many indexes to go through
---   priority  decimal  the priority
--- Returns
---   moved     integer  how many jobs wait, and have the priority now
--- Errors none
--- Audit the array as a whole, by the verb reorder; the priority, and how many jobs have it now
--- @include "base"
--- @include "audit_log"
--- @include "wall"
--- @include "array"
--- @include "queue"
--- @include "priority"

local moved, shapes, updated = 0, {}, whole(wall_us())
for index = start, start + limit - 1 do
  local job = load_job(array .. '[' .. whole(index) .. ']')
  if job and (job.status == 'queued' or job.status == 'beside') and array_of_job(job)
    and job.owner == owner_id then
    local name = job_key(job.request_id)
    local is_first = redis.call('SADD', key('own_priority'), job.member) == 1
    keep_submitted_priority(name, not is_first, job.priority)
    if job.priority ~= priority then
      set_priority(job.member, job.shape, job.status, job.owner, priority)
      redis.call('HSET', name, 'updated', updated)
      shapes[job.shape] = job.status == 'queued' or shapes[job.shape]
    end
    moved = moved + 1
  end
end
for shape, is_queued in pairs(shapes) do
  if is_queued then
    refresh_head(shape)
  end
end
if moved > 0 then
  count_shift()
  record_event({ request_id = array .. '[*]', id = '0', owner = owner_id }, 'queued', 'reordered')
  record_audit(actor, 'reorder', array .. '[*]', nil, { 'priority', tonumber(priority), 'jobs', moved })
  wake('grant')
end
return reply({ moved = moved })
