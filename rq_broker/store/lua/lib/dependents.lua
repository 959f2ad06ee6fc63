--- What happens to jobs because of their own terms: they give up, or the jobs they wait for have ended.
--- @include "become"

local OUTCOMES = { ['0'] = 'is done', ['1'] = 'ended in error', ['2'] = 'was withdrawn' }

local function give_up(job)
  become(job, 'error', {
    'error', 'gave_up: not granted within ' .. job.give_up_after / 1000 .. ' s in the line', 'cause', 'gave_up',
  })
end

-- Tells one job that another one that it waits for has ended.
local function tell(member, ended, outcome)
  local job = load_job(request_id_of(member))
  if not job or job.member ~= member or job.status ~= 'beside' then
    return
  end
  local name = job_key(job.request_id)
  local f = redis.call('HMGET', name, 'after_any', 'not_before', 'left')
  if outcome ~= '0' and not f[1] then
    local text = 'dependency_failed: job ' .. request_id_of(ended) .. ', for which it waited, ' .. (OUTCOMES[outcome] or 'ended')
    become(job, 'error', { 'error', text, 'cause', 'dependency_failed' })
  elseif number_of(f[3], 1) > 1 then
    redis.call('HSET', name, 'left', whole(f[3] - 1))
  else
    redis.call('HDEL', name, 'left')
    if number_of(f[2], 0) > now_ms() then
      set_alarm(member, tonumber(f[2]))
    else
      become(job, 'queued', {})
    end
  end
end

-- Tells at most `limit` jobs that what they wait for has ended. A job that fails by that ends as well, so its own
-- dependents follow. Returns how many were told.
local function resolve_dependents(limit)
  local told = 0
  while told < limit do
    local entry = redis.call('ZRANGE', key('ended'), 0, 0, 'WITHSCORES')
    local ended, outcome = entry[1], entry[2]
    if not ended then
      return told
    end
    local dependents = key('dependents:' .. ended)
    local members = redis.call('ZRANGE', dependents, 0, limit - told - 1)
    for _, member in ipairs(members) do
      redis.call('ZREM', dependents, member)
      tell(member, ended, outcome)
    end
    told = told + #members
    if redis.call('EXISTS', dependents) == 0 then
      redis.call('ZREM', key('ended'), ended)
    end
  end
  wake('sweep')
  return told
end
