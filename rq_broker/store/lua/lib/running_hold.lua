--- The hold of a running job, as a row of a reply.
--- @include "base"
--- @include "job"

-- Returns the hold of a job, or nil if it has none. It is the whole grant: what a source counts as used
-- comes back with it.
local function running_hold(request_id)
  local f = redis.pcall('HMGET', job_key(request_id), 'granted', 'id', 'owner', 'hosts', 'demand', 'predicted',
    'predicted_from', 'demand_key', 'size', 'expected', 'devices', 'alternative')
  return f[1] and {
    request_id = request_id, granted = f[1], id = f[2] or '', owner = f[3] or '', hosts = f[4] or '',
    demand = f[5] or '', predicted = f[6], predicted_from = f[7], demand_key = f[8], size = f[9], expected = f[10],
    devices = f[11], alternative = f[12],
  } or nil
end
