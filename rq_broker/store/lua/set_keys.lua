--- Set the keys that callbacks are signed with, of one owner or of all owners that have none.
--- Keeps: every callback claimed from now on is signed with the new keys, by any courier.
--- KEYS[1] base
--- ARGV
---   owner_id      string  the owner, or '*' for all owners that have no keys
---   signing_keys  string  the keys, the newest first, separated by spaces; '' for none
--- Returns none
--- Errors none
--- @include "base"

if signing_keys == '' then
  redis.call('HDEL', key('keys'), owner_id)
else
  redis.call('HSET', key('keys'), owner_id, signing_keys)
end
