--- Set the keys that callbacks are signed with, of one owner or of all owners that have none.
--- Keeps: every callback claimed from now on is signed with the new keys, by any courier. A caller that
---   knows other keys than the owner has by now writes nothing.
--- KEYS[1] base
--- ARGV
---   owner_id             string   the owner, or '*' for all owners that have no keys
---   signing_keys         string   the keys, the newest first, separated by spaces; '' for none
---   stored_keys          string?  what the owner has, as the caller read it; not given: nothing
---   fingerprints         string   those of the keys, for the audit log, separated by spaces
---   stored_fingerprints  string   those of `stored_keys`
--- Returns
---   is_set               flag     false if the owner has other keys than `stored_keys`
--- Errors none
--- Audit the owner_id; the fingerprints of the keys
--- @include "base"
--- @include "audit_log"

local name = key('keys')
if (redis.call('HGET', name, owner_id) or '') ~= (stored_keys or '') then
  return reply({ is_set = false })
end
if signing_keys == '' then
  redis.call('HDEL', name, owner_id)
else
  redis.call('HSET', name, owner_id, signing_keys)
end
if fingerprints ~= stored_fingerprints then
  record_audit(actor, 'set_keys', owner_id, { 'keys', stored_fingerprints }, { 'keys', fingerprints })
end
return reply({ is_set = true })
