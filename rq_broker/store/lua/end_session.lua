--- End a session: who signs out is known by it no longer.
--- Keeps: its id is in no list of sessions.
--- KEYS[1] base
--- ARGV
---   session  string  its id: the first 32 hex digits of the SHA-256 of its secret
--- Returns none
--- Errors none
--- Audit the name of the identity; how it had signed in
--- @include "base"
--- @include "audit_log"

local record_key = key('session:' .. session)
local stored = redis.call('HMGET', record_key, 'name', 'way')
local identity = stored[1]
if identity then
  redis.call('DEL', record_key)
  redis.call('ZREM', key('sessions:' .. identity), session)
  record_audit(actor, 'end_session', identity, { 'way', stored[2] })
end
