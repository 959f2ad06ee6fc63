--- Keep what a planning pass found out for the next one, in whichever process it runs.
--- Keeps: a job's first time of being passed is never moved; jobs that left the line are not noted.
--- KEYS[1] base
--- ARGV[1] the protection, JSON, or '' for none
--- ARGV[2…] members newly passed
--- Returns 1
--- Errors none
--- @include "base"
--- @include "clock"

local protection = ARGV[1]

redis.call('HSET', base, 'protection', protection)
local now = whole(now_ms())
for i = 2, #ARGV do
  if redis.call('ZSCORE', key('status:queued'), ARGV[i]) then
    redis.call('HSETNX', key('passed'), ARGV[i], now)
  end
end
return 1
