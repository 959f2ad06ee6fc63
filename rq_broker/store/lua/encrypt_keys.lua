--- Store an owner's signing keys in another form.
--- Keeps: keys that were set since they were read stay as they are.
--- KEYS[1] base
--- ARGV
---   owner_id      string  the owner, or '*' for all owners that have no keys
---   was           string  the keys as they were read
---   signing_keys  string  the same keys, as they are to be stored
--- Returns
---   stored  flag  whether they were still as they were read
--- Errors none
--- Audit the owner_id; the number of its keys
--- @include "base"
--- @include "audit_log"

if redis.call('HGET', key('keys'), owner_id) ~= was then
  return reply({ stored = false })
end
redis.call('HSET', key('keys'), owner_id, signing_keys)
local _, count = string.gsub(signing_keys, '%S+', '')
record_audit(actor, 'encrypt_keys', owner_id, nil, { 'keys', count })
return reply({ stored = true })
