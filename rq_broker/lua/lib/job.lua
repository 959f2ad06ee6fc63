--- One job as scripts see it, and the event every change of its state leaves.
--- @include "base"

local function job_key(request_id)
  return key('job:' .. request_id)
end

local function request_id_of(member)
  return string.sub(member, 18)
end

-- Returns the job's moving parts, or nil when there is none.
local function load_job(request_id)
  local f = redis.call('HMGET', job_key(request_id),
    'id', 'status', 'owner', 'shape', 'fence', 'attempts', 'error')
  if not f[1] or not f[2] then
    return nil
  end
  local member = string.format('%016.0f', tonumber(f[1])) .. ':' .. request_id
  return {
    request_id = request_id, member = member, id = f[1], status = f[2],
    owner = f[3] or '', shape = f[4] or '', fence = f[5] or '0',
    attempts = tonumber(f[6] or '0'), error = f[7] or '',
    priority = redis.call('ZSCORE', key('status:' .. f[2]), member) or '0',
  }
end

local function record_event(request_id, id, status)
  redis.call('XADD', key('events'), 'MAXLEN', '~', '10000', '*',
    'request_id', request_id, 'id', id, 'status', status)
end
