--- Whether a job is as its caller read it, see store/versions.py: a caller that asks for that is refused otherwise.
--- @include "base"
--- @include "job"

-- Returns the refusal of a caller that read another state of the job, nil if it need not be refused. `known`: the
-- `priority`, the `count` of the fields of the hash, and those of the fields that can change; none: in any state.
local function refuse_changed(job, known)
  if #known == 0 then
    return nil
  end
  local name, names = job_key(job.request_id), {}
  for i = 5, #known, 2 do
    names[#names + 1] = known[i]
  end
  local is_same = job.priority == known[2] and redis.call('HLEN', name) == tonumber(known[4])
  local values = is_same and redis.call('HMGET', name, unpack(names)) or {}
  for i, value in ipairs(values) do
    is_same = is_same and value == known[2 * i + 4]
  end
  if not is_same then
    return redis.error_reply('CHANGED_MEANWHILE ' .. string.match(job.request_id, '[^/]*$') .. ' has changed since it was read')
  end
end
