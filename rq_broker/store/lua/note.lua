--- Store an admission pass's decisions for the next pass, which may run in another process.
--- Keeps: the time at which a job was first passed never moves; only queued jobs are noted.
--- KEYS[1] base
--- ARGV
---   promises  string   what jobs with a reservation were first promised, JSON; '' for none
---   kept      string   what these reservations keep, by host and resource, JSON; '' for nothing
---   passed    strings  members of the jobs newly passed
--- Returns none
--- Errors none
--- @include "base"
--- @include "clock"

redis.call('HSET', base, 'promises', promises, 'kept', kept)
redis.call('HDEL', base, 'protection') -- written by earlier versions
local now = whole(now_ms())
for _, member in ipairs(passed) do
  if redis.call('ZSCORE', key('status:queued'), member) then
    redis.call('HSETNX', key('passed'), member, now)
  end
end
