--- Whose jobs a caller may name. `owners` are its own; with none, it may name those of every owner.
--- Keeps: a job of another owner is answered as one that does not exist.
--- @include "base"
--- @include "job"

local function is_own(owner, owners)
  for _, own in ipairs(owners) do
    if own == owner then
      return true
    end
  end
  return #owners == 0
end

-- Returns the fields of a job, or nil if the caller may not name it, or there is none, or a damaged one.
local function load_own_job(request_id, owners)
  local job = load_job(request_id)
  return job and is_own(job.owner, owners) and job or nil
end

-- Returns the request_id in a job's name, which begins with its owner where names are per owner.
local function request_id_in(name)
  return string.match(name, '[^/]*$')
end

-- Returns among which jobs a name is taken, as a refusal says it; domain/names.py has the same.
local function is_taken(name)
  return string.find(name, '/', 1, true) and "is taken among its owner's jobs" or 'is taken in this type'
end

local function job_not_found()
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end

-- Returns how a refusal names a job of the type: as any other, where the caller may not name it.
local function named_job(request_id, owners)
  local owner = #owners > 0 and redis.pcall('HGET', job_key(request_id), 'owner')
  local is_hidden = #owners > 0 and not (type(owner) == 'string' and is_own(owner, owners))
  return is_hidden and 'another job' or 'job ' .. request_id_in(request_id)
end
