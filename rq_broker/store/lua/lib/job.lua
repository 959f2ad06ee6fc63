--- One job: its hash, its name in sorted sets, and its streams.
--- @include "base"

local OFFER = 'offer' -- stands for the destination of jobs without callback; domain/jobs.py has the same

local NOTHING = {}

local function job_key(request_id)
  return key('job:' .. request_id)
end

-- Returns the name that a job has in every sorted set, see store/keys.py.
local function member_of(id, request_id)
  return string.format('%016d:', id) .. request_id
end

local function request_id_of(member)
  return string.sub(member, 18)
end

-- Returns the name of a receiver: a destination as one owner's jobs see it, see lib/destination.
local function receiver_of(destination, owner)
  return owner == '' and destination or destination .. ' ' .. owner
end

-- Returns the fields of a job that scripts decide by, or nil if there is no job, or a damaged one.
local function load_job(request_id)
  local f = redis.pcall('HMGET', job_key(request_id), 'id', 'status', 'owner', 'shape', 'fence',
    'attempts', 'error', 'offer_ends', 'destination', 'settled', 'give_up_after', 'hold_at_most', 'at_once', 'bytes',
    'prefers_until', 'alternative', 'created', 'joined', 'granted', 'size')
  if not tonumber(f[1] or '') or not f[2] then
    return nil
  end
  local member = member_of(f[1], request_id)
  return {
    request_id = request_id, member = member, id = f[1], status = f[2],
    owner = f[3] or '', shape = f[4] or '', fence = f[5] or '0',
    attempts = tonumber(f[6] or '') or 0, error = f[7] or '',
    offer_ends = tonumber(f[8] or '') or math.huge,
    destination = f[9] or '', settled = f[10] or '', receiver = receiver_of(f[9] or '', f[3] or ''),
    give_up_after = tonumber(f[11] or ''), hold_at_most = tonumber(f[12] or ''),
    at_once = tonumber(f[13] or ''),
    bytes = tonumber(f[14] or ''), prefers_until = tonumber(f[15] or ''), alternative = f[16],
    waits_since = tonumber(f[18] or '') or tonumber(f[17] or ''),
    granted = tonumber(f[19] or ''), size = f[20] or '',
    priority = redis.call('ZSCORE', key('status:' .. f[2]), member) or '0',
  }
end

-- Returns the shape of a job, nil if there is no job, or a damaged one.
local function shape_of(request_id)
  local shape = redis.pcall('HGET', job_key(request_id), 'shape')
  return shape and not shape.err and shape or nil
end

-- Removes a job's callback from where it is due: from one of two sets, see lib/destination.
-- Returns 1 if it was due, else 0.
local function unschedule(member)
  local removed = redis.call('ZREM', key('prompt'), member)
  return removed > 0 and removed or redis.call('ZREM', key('deliveries'), member)
end

-- Returns whether a job, of this key, is called back by nobody: its grant is an offer.
local function has_no_callback(name)
  return redis.call('HSTRLEN', name, 'callback') == 0
end

-- Removes a job's callback, which is either due or parked; an offer has none.
local function drop_delivery(job)
  if job.attempts == 0 then
    redis.call('ZREM', key('uncalled:' .. job.receiver), job.member)
  end
  if job.destination ~= OFFER and unschedule(job.member) == 0 then
    redis.call('ZREM', key('parked:' .. job.receiver), job.member)
  end
end

-- Keeps the outcome of one attempt to call a job back. The ID of the entry is the time it ended.
local function record_attempt(request_id, attempt, fence, cause, milliseconds)
  redis.pcall('XADD', key('attempts:' .. request_id), 'MAXLEN', '~', '100', '*',
    'attempt', attempt, 'fence', fence, 'cause', cause, 'milliseconds', milliseconds)
end

-- Keeps the last attempt if it was claimed and never settled: its courier died or exceeded its lease.
local function record_lost(job)
  local last = whole(job.attempts)
  if job.attempts > 0 and job.settled ~= last then
    record_attempt(job.request_id, last, job.fence, 'courier_lost', '0')
    redis.call('HSET', job_key(job.request_id), 'settled', last)
  end
end

-- Adds what happened to a job to the stream of events. `status`: what it is now, or another word where that stays.
-- `from`: its status before, '' for none. `name`: a field that few entries have, and its value; nil for none.
-- `job.counts`: of a grant, or of the end of one, what reports count of it; see store/reports.py. All other entries
-- have the same fields in the same order: a stream stores their names once for some 100 of them.
local function record_event(job, from, status, name, value)
  local counts, more = job.counts or NOTHING, name and { name, value } or NOTHING
  redis.call('XADD', key('events'), 'MAXLEN', '~', '10000', '*', 'request_id', job.request_id, 'id', job.id,
    'status', status, 'from', from, 'owner', job.owner, 'by', acting or '', 'waited', counts.waited or '',
    'held', counts.held or '', 'size', counts.size or '', 'amounts', counts.amounts or '', unpack(more))
end
