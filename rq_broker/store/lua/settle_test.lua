--- Record how a receiver test went.
--- Keeps: one that has expired stays away.
--- KEYS[1] base
--- ARGV
---   test          string   its id
---   cause         string   the result in one word: http_200, timeout, ...
---   milliseconds  integer  how long it took
--- Returns none
--- Errors none
--- @include "base"
--- @include "receiver_test"

local name = key('test:' .. test)
if redis.call('EXISTS', name) == 1 then
  redis.call('HSET', name, 'cause', cause, 'milliseconds', whole(milliseconds))
  redis.call('PEXPIRE', name, TEST_MS)
end
