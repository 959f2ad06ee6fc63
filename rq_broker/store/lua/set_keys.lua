--- Set the keys callbacks are signed with, of one owner or of all who have none of their own.
--- Keeps: the next callback claimed is signed with the new keys, by whichever courier.
--- KEYS[1] base
--- ARGV[1] owner_id, or '*'
--- ARGV[2] keys, separated by spaces, the newest first; '' for none
--- Returns 1
--- Errors none
--- @include "base"

local owner, keys = ARGV[1], ARGV[2]

if keys == '' then
  redis.call('HDEL', key('keys'), owner)
else
  redis.call('HSET', key('keys'), owner, keys)
end
return 1
