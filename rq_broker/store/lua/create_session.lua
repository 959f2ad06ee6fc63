--- Keep a session of who has signed in.
--- Keeps: an identity has at most `most` sessions; with one more, those of them end that would have ended first.
--- KEYS[1] base
--- ARGV
---   session   string   its id: the first 32 hex digits of the SHA-256 of its secret
---   identity  string   name of who has signed in
---   way       string   how: one word for the kind of credential
---   idle      integer  ms after which it ends unless it is used, at least 1
---   lifetime  integer  ms after which it ends, used or not, at least 1
---   most      integer  sessions of the identity, this one too, at least 1
---   record    fields   its other fields: digest, and token, sealed, or what the identity has
--- Returns none
--- Errors none
--- Audit the name of the identity; how it has signed in, and when the session ends, seconds since 1970
--- @include "base"
--- @include "batches"
--- @include "wall"
--- @include "audit_log"

local now = math.floor(wall_us() / 1000)
local ends = now + lifetime
local sessions = key('sessions:' .. identity)

-- 1. Make room among the sessions of the identity; those that idled away are forgotten here.
redis.call('ZREMRANGEBYSCORE', sessions, '-inf', whole(now))
local surplus = redis.call('ZCARD', sessions) + 1 - most
if surplus > 0 then
  for _, id in ipairs(redis.call('ZRANGE', sessions, 0, surplus - 1)) do
    redis.call('DEL', key('session:' .. id))
    redis.call('ZREM', sessions, id)
  end
end

-- 2. Keep the new one.
local record_key = key('session:' .. session)
redis.call('HSET', record_key, 'name', identity, 'way', way, 'created', whole(now), 'ends', whole(ends))
set_fields(record_key, record)
redis.call('PEXPIRE', record_key, whole(math.min(idle, lifetime)))
redis.call('ZADD', sessions, whole(ends), session)
redis.call('PEXPIRE', sessions, whole(lifetime))
record_audit(actor, 'create_session', identity, nil, { 'way', way, 'ends', ends / 1000 })
