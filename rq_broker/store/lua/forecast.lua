--- Keep the first ETA a waiting job was told, to find out later whether it held.
--- Keeps: a forecast is judged once, when its job is granted; leaving the line otherwise drops it.
--- KEYS[1] base
--- ARGV[1] member
--- ARGV[2] ms until it will be granted with 90% confidence, or '' when nobody can say
--- Returns {forecasts that held, forecasts that did not}
--- Errors none
--- @include "base"
--- @include "clock"

local member, span = ARGV[1], ARGV[2]

if span ~= '' and redis.call('ZSCORE', key('status:queued'), member) then
  redis.call('HSETNX', key('forecasts'), member, whole(now_ms() + span))
end
local judged = redis.call('HMGET', base, 'forecasts_kept', 'forecasts_missed')
return { judged[1] or '0', judged[2] or '0' }
