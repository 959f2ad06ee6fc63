--- Take the receiver tests that wait.
--- Keeps: each is taken once. The test of a notifier that dies is lost; its caller sees no outcome, and sends another.
--- KEYS[1] base
--- ARGV
---   limit           integer  how many to take at most
--- Returns
---   tests           rows     a test
---     test          string   its name
---     callback      string   where it goes
---     owner         string   whose
---     signing_keys  string   keys to sign it with, the newest first; '' for none
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "wake"
--- @include "signing_keys"

local tests = {}
begin_work('test')
redis.call('ZREMRANGEBYSCORE', key('tests'), '-inf', whole(now_ms()))
for _, test in ipairs(redis.call('ZRANGE', key('tests'), 0, limit - 1)) do
  redis.call('ZREM', key('tests'), test)
  local f = redis.call('HMGET', key('test:' .. test), 'callback', 'owner')
  if f[1] then
    redis.call('HSET', key('test:' .. test), 'sent', '1')
    tests[#tests + 1] = { test = test, callback = f[1], owner = f[2] or '', signing_keys = signing_keys_of(f[2] or '') }
  end
end
if redis.call('EXISTS', key('tests')) == 1 then
  wake('test')
end
return reply({ tests = tests })
