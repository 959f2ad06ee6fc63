--- Forget what is held against a destination: its breaker closes, its callbacks go out.
--- Keeps: slots in use stay counted.
--- KEYS[1] base
--- ARGV[1] destination
--- Returns 1
--- Errors DESTINATION_NOT_FOUND
--- @include "base"
--- @include "destination"

local destination = ARGV[1]

if not redis.call('ZSCORE', key('destinations'), destination) then
  return redis.error_reply('DESTINATION_NOT_FOUND no job of this type was granted to be called there')
end
close_destination(destination)
redis.call('HDEL', destination_key(destination), 'slow_until')
local now = now_ms()
unpark(destination, free_slots(destination, read_destination(destination), now), now)
return 1
