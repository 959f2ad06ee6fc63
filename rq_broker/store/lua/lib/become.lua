--- A change of status: `become` keeps every index, hold, deadline and delivery of the job consistent.
--- The caller checks that the move is allowed (domain/jobs.py has the state machine).
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "queue"
--- @include "hold"
--- @include "deadline"
--- @include "beside"
--- @include "array"
--- @include "queue_use"

local HOLDS_CAPACITY = { granted = true, running = true }

-- Fields that a job has only while it holds capacity.
local HELD_FIELDS = {
  'hosts', 'devices', 'offer_ends', 'granted', 'settled', 'servers', 'predicted', 'predicted_from', 'demand_key', 'size',
  'least_expected', 'running_since', 'renewed', 'incarnation', 'unseen', 'named', 'missed_by',
  'hold_lost', 'alternative',
}

-- Removes a job from the indexes of the status that it leaves.
local function leave_status(job, to)
  if job.status == 'queued' then
    redis.call('HSET', job_key(job.request_id), 'demand', leave_queue(job.member, job.shape))
    if to ~= 'granted' then
      wake('grant')
    end
  else
    redis.call('ZREM', key('status:' .. job.status), job.member)
  end
  if job.status == 'beside' then
    leave_beside(job)
  end
  if job.status == 'granted' then
    drop_delivery(job)
  end
end

-- Sets the alarm that a job has in its new status by its own terms; `set_deadline` sets that of a running one.
-- The time in the line is counted on where an offer ended without fault of the job.
local function change_alarm(job, from, to)
  if to == 'queued' and job.give_up_after then
    local name = job_key(job.request_id)
    local kept = from == 'granted' and tonumber(redis.call('HGET', name, 'gives_up') or '')
    local gives_up = kept or now_ms() + job.give_up_after
    redis.call('HSET', name, 'gives_up', whole(gives_up))
    set_alarm(job.member, gives_up)
  elseif to ~= 'running' or not job.hold_at_most then
    drop_alarm(job.member)
  end
end

-- Counts an offer that ended before its capacity was taken.
local function count_missed_offer()
  add_to(base, 'offers_missed', 1)
end

-- Moves a job to a status. `changes`: field, value, ... to set on it besides. Only a grant keeps `missed`, how many
-- offers in a row were missed before it.
local function become(job, to, changes)
  local from, member, name = job.status, job.member, job_key(job.request_id)
  local obsolete = { 'error', 'cause', 'ended', to ~= 'granted' and 'missed' or nil }
  leave_status(job, to)
  count_change(job, to)
  if from == 'granted' and to ~= 'error' then -- a job in `error` keeps it: it names where the callback failed
    obsolete[#obsolete + 1] = 'destination'
  end
  if HOLDS_CAPACITY[from] and not HOLDS_CAPACITY[to] then
    if release(job, to) then
      wake('grant')
    end
    for _, field in ipairs(HELD_FIELDS) do
      obsolete[#obsolete + 1] = field
    end
  end
  redis.call('HDEL', name, unpack(obsolete))
  if to == 'running' then
    changes[#changes + 1] = 'running_since'
    changes[#changes + 1] = whole(now_ms())
  end
  if to == 'queued' then -- it waits anew from here
    changes[#changes + 1], changes[#changes + 2] = 'joined', whole(wall_us())
  end
  redis.call('HSET', name, 'status', to, 'updated', whole(wall_us()), unpack(changes))
  if to == 'queued' then
    join_queue(member, job.priority, job.shape, redis.call('HGET', name, 'demand') or '')
    redis.call('HDEL', name, 'attempts', 'released', 'demand')
  else
    redis.call('ZADD', key('status:' .. to), job.priority, member)
  end
  if job.give_up_after or job.hold_at_most then
    change_alarm(job, from, to)
  end
  if job.at_once then
    note_holding(job, HOLDS_CAPACITY[to])
    if HOLDS_CAPACITY[from] and not HOLDS_CAPACITY[to] then
      wake('grant')
    end
  end
  set_deadline(member, to, now_ms(), job.hold_at_most)
  if to == 'done' or to == 'error' then
    note_end(member, to)
  end
  record_event(job, from, to, to ~= 'queued' and job.alternative and 'alternative' or nil, job.alternative)
end
