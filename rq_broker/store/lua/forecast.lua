--- Keep the first ETA reported for waiting jobs, to find out later whether it was kept.
--- Keeps: a forecast is judged once, when its job is granted, and dropped when it leaves the queue
---   otherwise.
--- KEYS[1] base
--- ARGV
---   waits   rows      a job for which an ETA is reported
---     member  string  the job's member in the queue
---     wait    integer ms until it is granted with a confidence of 90 %
---     half    integer the same of 50 %
--- Returns
---   kept    integer   jobs granted by the time forecast
---   missed  integer   jobs granted later
--- Errors none
--- @include "base"
--- @include "clock"

local now = now_ms()
for _, row in ipairs(waits) do
  if redis.call('ZSCORE', key('status:queued'), row.member) then
    redis.call('HSETNX', key('forecasts'), row.member, whole(now + row.wait) .. ' ' .. whole(now + row.half))
  end
end
local judged = redis.call('HMGET', base, 'forecasts_kept', 'forecasts_missed')
return reply({ kept = judged[1] or 0, missed = judged[2] or 0 })
