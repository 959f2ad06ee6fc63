--- What owners take of a type: `waiting` has owner → how many of its jobs wait, in the queue or beside the line, and
--- `bytes` owner → what its jobs take until they are deleted. The base hash has the sum of all owners as `bytes`.
--- Keeps: both count exactly the jobs that have the field `bytes`: one that an older version submitted has none.
--- @include "base"
--- @include "policy"

local JOB_BYTES = 1024 -- what a job takes beside its texts, about; see docs/measured
local QUEUE_LIMITS = { 'queue_limits', 'most_waiting', 'most_bytes' } -- of the policy
local WAITS = { queued = true, beside = true }

-- Returns what a job takes: JOB_BYTES and the length of its texts.
local function bytes_of(...)
  local bytes = JOB_BYTES
  for _, texts in ipairs({ ... }) do
    for i = 1, #texts do
      bytes = bytes + #texts[i]
    end
  end
  return bytes
end

-- Returns the limits of an owner, nil for none: its own in the policy's `queue_limits`, or those of `*`. The policy is
-- JSON as Python writes it: a quote within a name has a backslash before it, so `,"` begins a name.
local function owner_limits(owner)
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

-- Returns the refusal of `jobs` more jobs of an owner that take `bytes`, nil if it may submit them.
local function refuse_full(owner, jobs, bytes)
  local most_waiting, most_bytes = policy_number_of('most_waiting'), policy_number_of('most_bytes')
  if most_waiting and redis.call('ZCARD', key('status:queued')) + redis.call('ZCARD', key('status:beside')) + jobs
    > most_waiting then
    return queue_full('jobs: the type has as many waiting jobs as its most_waiting', most_waiting)
  end
  if most_bytes and number_of(redis.call('HGET', base, 'bytes'), 0) + bytes > most_bytes then
    return queue_full('bytes: the jobs of the type take as much as its most_bytes', most_bytes)
  end
  local owner_jobs, owner_bytes = owner_limits(owner)
  if owner_jobs and number_of(redis.call('HGET', key('waiting'), owner), 0) + jobs > owner_jobs then
    return queue_full('owner_jobs: the owner has as many waiting jobs as queue_limits', owner_jobs)
  end
  if owner_bytes and number_of(redis.call('HGET', key('bytes'), owner), 0) + bytes > owner_bytes then
    return queue_full('owner_bytes: the jobs of the owner take as much as queue_limits', owner_bytes)
  end
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
