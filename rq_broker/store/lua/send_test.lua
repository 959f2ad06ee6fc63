--- Ask the notifiers to send one test message to a receiver.
--- Keeps: no job and no breaker changes. A test that no notifier takes is never sent after it has expired, and
---   no type has more than MOST that wait. One that is there is not sent again.
--- KEYS[1] base
--- ARGV
---   test         string  its name
---   callback     string  where it goes
---   destination  string  scheme://host:port of that
---   owner        string  whose keys it is signed with; '' for those of every owner
--- Returns none
--- Errors TOO_MANY_RECEIVER_TESTS
--- Audit the receiver; the name of the test
--- @include "base"
--- @include "clock"
--- @include "wake"
--- @include "job"
--- @include "audit_log"
--- @include "receiver_test"

local MOST = 20 -- tests of a type that wait for a notifier: with more, one caller could flood receivers

if redis.call('EXISTS', key('test:' .. test)) == 1 then
  return
end
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', key('tests'), '-inf', whole(now))
if redis.call('ZCARD', key('tests')) >= MOST then
  return redis.error_reply('TOO_MANY_RECEIVER_TESTS ' .. MOST .. ' tests of this type wait for a notifier already')
end
redis.call('HSET', key('test:' .. test), 'callback', callback, 'destination', destination, 'owner', owner)
redis.call('PEXPIRE', key('test:' .. test), TEST_MS)
redis.call('ZADD', key('tests'), whole(now + TEST_MS), test)
redis.call('PEXPIRE', key('tests'), TEST_MS)
wake('test')
record_audit(actor, 'send_test', receiver_of(destination, owner), nil, { 'test', test })
