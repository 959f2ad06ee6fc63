--- What owners take of a type: `waiting` has owner → how many of its jobs wait, in the queue or beside the line, and
--- `bytes` owner → what its jobs take until they are deleted. The base hash has the sum of all owners as `bytes`.
--- Keeps: both count exactly the jobs that have the field `bytes`: one that an older version submitted has none.
--- @include "base"
--- @include "policy"
--- @include "queue_limits_default"

local JOB_BYTES = 1024 -- what a job takes beside its texts, about; see docs/measured
local QUEUE_LIMITS = { 'queue_limits', 'most_waiting', 'most_bytes' } -- of the policy
local WAITS = { queued = true, beside = true }

-- Returns what a job takes, beside what its name, its owner and its demand do: JOB_BYTES and the length of these texts.
local function bytes_of(fields, terms, after)
  local bytes = JOB_BYTES
  for i = 1, #fields do
    bytes = bytes + #fields[i]
  end
  for i = 1, #terms do
    bytes = bytes + #terms[i]
  end
  for i = 1, #after do
    bytes = bytes + #after[i]
  end
  return bytes
end

-- Returns the limits of an owner, nil for none: its own in the policy's `queue_limits`, or those of `*`. The policy is
-- JSON as Python writes it: a quote within a name has a backslash before it, so `,"` begins a name.
local function owner_limits(owner)
  if policy_value('queue_limits') == POLICY_DEFAULTS.queue_limits then
    return DEFAULT_MOST_JOBS, DEFAULT_MOST_BYTES
  end
  local text = ',' .. string.sub(policy_value('queue_limits'), 2)
  for _, name in ipairs({ (string.gsub(owner, '[\\"]', '\\%0')), '*' }) do
    local _, last = string.find(text, ',"' .. name .. '":{', 1, true)
    if last then
      local limits = string.match(text, '^[^}]*', last + 1)
      return tonumber(string.match(limits, '"jobs":(%d+)') or ''), tonumber(string.match(limits, '"bytes":(%d+)') or '')
    end
  end
end

-- `sentence` begins with what is full.
local function queue_full(sentence, most)
  return redis.error_reply('QUEUE_FULL ' .. sentence .. ' allows, ' .. whole(most))
end

-- What is taken is read once, and only where it is limited; what this call adds is counted beside it.
local use_of_owners, use_of_type = {}

-- Returns what an owner takes, how much it may, and what this call adds.
local function owner_use(owner)
  local use = use_of_owners[owner]
  if not use then
    local most_jobs, most_bytes = owner_limits(owner)
    use = {
      most_jobs = most_jobs, most_bytes = most_bytes, new_jobs = 0, new_bytes = 0,
      jobs = most_jobs and number_of(redis.call('HGET', key('waiting'), owner), 0),
      bytes = most_bytes and number_of(redis.call('HGET', key('bytes'), owner), 0),
    }
    use_of_owners[owner] = use
  end
  return use
end

-- Returns the same of the type.
local function type_use()
  if not use_of_type then
    local most_waiting, most_bytes = policy_number_of('most_waiting'), policy_number_of('most_bytes')
    use_of_type = {
      most_jobs = most_waiting, most_bytes = most_bytes, new_jobs = 0, new_bytes = 0,
      jobs = most_waiting and redis.call('ZCARD', key('status:queued')) + redis.call('ZCARD', key('status:beside')),
      bytes = most_bytes and number_of(redis.call('HGET', base, 'bytes'), 0),
    }
  end
  return use_of_type
end

-- Returns the error that refuses an owner more jobs in line: `jobs` of them, which take `bytes` in all. nil if the
-- limits allow them.
local function refuse_full(owner, jobs, bytes)
  local all, own = type_use(), owner_use(owner)
  if all.most_jobs and all.jobs + all.new_jobs + jobs > all.most_jobs then
    return queue_full('jobs: the type has as many waiting jobs as its most_waiting', all.most_jobs)
  end
  if all.most_bytes and bytes > 0 and all.bytes + all.new_bytes + bytes > all.most_bytes then
    return queue_full('bytes: the jobs of the type take as much as its most_bytes', all.most_bytes)
  end
  if own.most_jobs and own.jobs + own.new_jobs + jobs > own.most_jobs then
    return queue_full('owner_jobs: the owner has as many waiting jobs as queue_limits', own.most_jobs)
  end
  if own.most_bytes and bytes > 0 and own.bytes + own.new_bytes + bytes > own.most_bytes then
    return queue_full('owner_bytes: the jobs of the owner take as much as queue_limits', own.most_bytes)
  end
end

-- Notes that refuse_full let a job in; `count_taken` writes it.
local function take_use(owner, bytes)
  local all, own = use_of_type, use_of_owners[owner]
  all.new_jobs, all.new_bytes = all.new_jobs + 1, all.new_bytes + bytes
  own.new_jobs, own.new_bytes = own.new_jobs + 1, own.new_bytes + bytes
end

-- Adds to an entry, and deletes one that becomes 0.
local function add_use(name, owner, amount)
  if add_to(key(name), owner, whole(amount)) == 0 then
    redis.call('HDEL', key(name), owner)
  end
end

local function count_waiting(owner, jobs)
  add_use('waiting', owner, jobs)
end

local function count_bytes(owner, bytes)
  add_use('bytes', owner, bytes)
  add_to(base, 'bytes', whole(bytes))
end

-- Returns the bytes of all jobs that were noted.
local function bytes_taken()
  return type_use().new_bytes
end

-- Counts the jobs that were noted for each owner; the sum of their bytes is the caller's to count.
local function count_taken()
  for owner, use in pairs(use_of_owners) do
    if use.new_jobs > 0 then
      count_waiting(owner, use.new_jobs)
      add_use('bytes', owner, use.new_bytes)
    end
  end
end

-- Counts the change of a job's status; `to` is nil for a job that is deleted.
local function count_change(job, to)
  if not job.bytes then
    return
  end
  local waited, waits = WAITS[job.status], WAITS[to or '']
  if waited ~= waits then
    count_waiting(job.owner, waits and 1 or -1)
  end
  if not to then
    count_bytes(job.owner, -job.bytes)
  end
end
