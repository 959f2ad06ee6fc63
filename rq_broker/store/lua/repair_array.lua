--- Make the record of an array agree with its jobs.
--- Keeps: the jobs are what is true. An array without any is forgotten. Run again, it changes nothing. It reads up
---   to 10,000 jobs, in some 10 ms; Redis serves nobody else meanwhile.
--- KEYS[1] base
--- ARGV
---   array    string   the array's name
--- Returns
---   left     integer  how many of its jobs are there
--- Errors none
--- Audit the array's name and [*]; how many of its jobs are there
--- @include "base"
--- @include "array"
--- @include "audit_log"

local record = array_key(array)
local size, left = number_of(redis.pcall('HGET', record, 'count') or '', 0), 0
for index = 0, size - 1 do
  local name = array .. '[' .. whole(index) .. ']'
  local id = redis.pcall('HGET', job_key(name), 'id')
  if id and not id.err and tonumber(id) and array_of_job({ request_id = name, id = id }) then
    left = left + 1
  end
end
if left > 0 then
  redis.call('HSET', record, 'left', whole(left))
else
  forget_array(array)
end
record_audit(actor, 'repair_array', array .. '[*]', nil, { 'left', left })
return reply({ left = left })
