--- The one way a job changes state: `become` keeps every index, hold, deadline and delivery in step.
--- Which moves are allowed is the caller's to check (models.MOVES draws them).
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "hold"
--- @include "policy"

local HOLDS = { granted = true, running = true }

-- When a state ends by itself: the policy field that says after how many milliseconds.
local ENDS = { granted = 'offer', running = 'running', done = 'retention', error = 'retention' }

local function set_deadline(member, status)
  local field = ENDS[status]
  local span = field and policy_value(field) or ''
  if span ~= '' then
    redis.call('ZADD', key('deadlines'), whole(now_ms() + span), member)
  else
    redis.call('ZREM', key('deadlines'), member)
  end
end

-- What a job has while it holds capacity, and not after.
local HELD_FIELDS = { 'hosts', 'offer_ends', 'granted', 'settled', 'servers' }

-- Takes the job out of what it stands in for its status.
local function leave(job, to)
  local from, member = job.status, job.member
  if from == 'queued' then
    redis.call('HSET', job_key(job.request_id), 'demand', leave_line(member, job.shape))
    if to ~= 'granted' then
      wake('grant')
    end
  else
    redis.call('ZREM', key('status:' .. from), member)
  end
  if from == 'granted' then
    drop_delivery(job)
  end
end

-- `changes`: flat field/value pairs to set on the job besides its status.
local function become(job, to, changes)
  local from, member, name = job.status, job.member, job_key(job.request_id)
  local gone = { 'error' }
  leave(job, to)
  if from == 'granted' and to ~= 'error' then -- there it says where calling back failed
    gone[#gone + 1] = 'destination'
  end
  if HOLDS[from] and not HOLDS[to] then
    if release(job) then
      wake('grant')
    end
    for _, field in ipairs(HELD_FIELDS) do
      gone[#gone + 1] = field
    end
  end
  redis.call('HDEL', name, unpack(gone))
  redis.call('HSET', name, 'status', to, 'updated', whole(now_us()), unpack(changes))
  if to == 'queued' then
    join_line(member, job.priority, job.shape, redis.call('HGET', name, 'demand') or '')
    redis.call('HDEL', name, 'attempts', 'released', 'demand', 'error')
  else
    redis.call('ZADD', key('status:' .. to), job.priority, member)
  end
  set_deadline(member, to)
  record_event(job.request_id, job.id, to)
end
