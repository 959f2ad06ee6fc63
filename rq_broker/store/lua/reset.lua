--- Close a destination's breaker by hand, and send its parked callbacks.
--- Keeps: callbacks in flight keep their slots.
--- KEYS[1] base
--- ARGV
---   destination  string  scheme://host:port
--- Returns none
--- Errors DESTINATION_NOT_FOUND
--- @include "base"
--- @include "destination"

if not redis.call('ZSCORE', key('destinations'), destination) then
  return redis.error_reply('DESTINATION_NOT_FOUND no job of this type was ever granted with a callback to '
    .. destination .. '; a destination is written scheme://host:port')
end
close_destination(destination)
redis.call('HDEL', destination_key(destination), 'slow_until')
local now = now_ms()
unpark(destination, free_slots(destination, read_destination(destination), now), now)
