--- One job as scripts see it, and the event every change of its state leaves.
--- @include "base"

local function job_key(request_id)
  return key('job:' .. request_id)
end

-- The name a job has in every sorted set, see keys.member.
local function member_of(id, request_id)
  return string.format('%016.0f', tonumber(id)) .. ':' .. request_id
end

local function request_id_of(member)
  return string.sub(member, 18)
end

-- Returns the job's moving parts, or nil when there is none that can be read.
local function load_job(request_id)
  local f = redis.call('HMGET', job_key(request_id), 'id', 'status', 'owner', 'shape', 'fence',
    'attempts', 'error', 'offer_ends', 'destination', 'settled')
  if not tonumber(f[1] or '') or not f[2] then
    return nil
  end
  local member = member_of(f[1], request_id)
  return {
    request_id = request_id, member = member, id = f[1], status = f[2],
    owner = f[3] or '', shape = f[4] or '', fence = f[5] or '0',
    attempts = tonumber(f[6] or '') or 0, error = f[7] or '', offer_ends = tonumber(f[8] or '') or math.huge,
    destination = f[9] or '', settled = f[10] or '',
    priority = redis.call('ZSCORE', key('status:' .. f[2]), member) or '0',
  }
end

-- Removes a job's callback from where it is due: in one of these two at most, see lib/destination.
-- Returns 1 if it was due, else 0.
local function unschedule(member)
  local gone = redis.call('ZREM', key('prompt'), member)
  return gone > 0 and gone or redis.call('ZREM', key('deliveries'), member)
end

-- Takes the job's callback out of wherever it stands: it is due, or parked, in one place only.
local function drop_delivery(job)
  if unschedule(job.member) == 0 then
    redis.call('ZREM', key('parked:' .. job.destination), job.member)
  end
end

-- One attempt to call back, kept with its job; the entry's ID is the time it ended.
local function record_attempt(request_id, attempt, fence, cause, milliseconds)
  redis.call('XADD', key('attempts:' .. request_id), 'MAXLEN', '~', '100', '*',
    'attempt', attempt, 'fence', fence, 'cause', cause, 'milliseconds', milliseconds)
end

-- An attempt that was claimed and never settled: its courier died, or overran its lease.
local function record_lost(job)
  local last = whole(job.attempts)
  if job.attempts > 0 and job.settled ~= last then
    record_attempt(job.request_id, last, job.fence, 'courier_lost', '0')
    redis.call('HSET', job_key(job.request_id), 'settled', last)
  end
end

local function record_event(request_id, id, status)
  redis.call('XADD', key('events'), 'MAXLEN', '~', '10000', '*',
    'request_id', request_id, 'id', id, 'status', status)
end
