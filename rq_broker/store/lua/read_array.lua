--- Read an array, and count some of its jobs by status.
--- Keeps: nothing is written.
--- KEYS[1] base
--- ARGV
---   array        string    the array's name
---   start        integer   index of the first job to count
---   limit        integer   how many indexes to go through, at most 1,000
---   owners       strings   whose jobs the caller may name; none: anybody's
--- Returns
---   queued       integer   how many of these jobs are queued or beside the line
---   granted      integer   how many are granted
---   running      integer   how many run
---   done         integer   how many are done
---   error        integer   how many are in error
---   waiting      string?   request_id of the first that is queued
---   beside       string?   request_id of the first that waits beside the line
---   fields       fields    its record, see lib/array
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "array"
--- @include "owned"

local fields = redis.pcall('HGETALL', array_key(array))
if fields.err or not fields[1] or not is_own(redis.call('HGET', array_key(array), 'owner') or '', owners) then
  return redis.error_reply('JOB_NOT_FOUND no array has this name in this type')
end
local counts, first = { queued = 0, beside = 0, granted = 0, running = 0, done = 0, error = 0 }, {}
for index = start, start + limit - 1 do
  local name = array .. '[' .. whole(index) .. ']'
  local f = redis.pcall('HMGET', job_key(name), 'id', 'status')
  if counts[f[2] or ''] and array_of_job({ request_id = name, id = f[1] or '' }) then
    counts[f[2]] = counts[f[2]] + 1
    first[f[2]] = first[f[2]] or name
  end
end
return reply({
  fields = fields,
  queued = counts.queued + counts.beside,
  granted = counts.granted,
  running = counts.running,
  done = counts.done,
  error = counts.error,
  waiting = first.queued,
  beside = first.beside,
})
