--- Arrays: `array:<name>` is the record of one, whose jobs are `<name>[0]` to `<name>[count - 1]`.
---   count, at_once   how many jobs it has; how many of them may hold capacity at a time, if that is limited
---   owner, submission, submit_key, priority, created   what its submit gave, and when that was
---   first:<index>    the ID of the job at this index, of each step of 1,000 that is stored; the others follow it
---   left             how many of its jobs are there
--- Only a job whose name and ID are those belongs to it. `holding:<name>` has the members of its jobs that are
--- granted or running, where `at_once` limits them.
--- Keeps: the record is there as long as one of the jobs is.
--- @include "base"
--- @include "submit_key"
--- @include "job"

local STEP = 1000 -- domain/arrays.py has the same

local function array_key(name)
  return key('array:' .. name)
end

-- Returns the name of the array to which a job of this name may belong, and its index there; nil for others.
local function array_place(request_id)
  if string.sub(request_id, -1) ~= ']' then
    return nil
  end
  local name, digits = string.match(request_id, '^(.+)%[(%d+)%]$')
  return name, tonumber(digits or '')
end

-- Returns the name of the array that a job belongs to, nil if to none. A job of the name behind its last one may have
-- the ID behind it too, and is none of it.
local function array_of_job(job)
  local name, index = array_place(job.request_id)
  if not name then
    return nil
  end
  local offset = index % STEP
  local f = redis.pcall('HMGET', array_key(name), 'first:' .. whole(index - offset), 'count')
  local first, count = number_of(f[1] or '', -1), number_of(f[2] or '', 0)
  return index < count and first == tonumber(job.id) - offset and name or nil
end

-- Deletes the record of an array, and the key of its submit.
local function forget_array(name)
  drop_submit_key(array_key(name), name .. '[*]')
  redis.call('DEL', array_key(name), key('holding:' .. name))
end

-- Takes a job that is deleted out of its array; the last one takes the record along.
local function leave_array(job)
  local name = array_of_job(job)
  if name and add_to(array_key(name), 'left', -1) == 0 then
    forget_array(name)
  end
end

-- Counts a job of an array with `at_once` as one that holds capacity, or no longer.
local function note_holding(job, holds)
  local name = array_place(job.request_id)
  if name and holds then
    redis.call('SADD', key('holding:' .. name), job.member)
  elseif name then
    redis.call('SREM', key('holding:' .. name), job.member)
  end
end

-- Returns the name of the array that limits how many of its jobs hold capacity at a time, and how many do; nil where
-- none limits a job.
local function array_limiting(job)
  local name = job.at_once and array_place(job.request_id)
  if name then
    return name, redis.call('SCARD', key('holding:' .. name))
  end
end
