--- Close a receiver's breaker and end its pause by hand, and send its parked callbacks.
--- Keeps: callbacks in flight keep their slots.
--- KEYS[1] base
--- ARGV
---   destination  string   scheme://host:port
---   owner        string?  whose; not given for those of every owner
--- Returns none
--- Errors DESTINATION_NOT_FOUND
--- Audit the receiver, or the destination for those of every owner; how many receivers change
--- @include "base"
--- @include "destination"
--- @include "audit_log"

local owners = owner and { owner } or redis.call('SMEMBERS', key('owners:' .. destination))
local is_known = false
local now = now_ms()
local changed = 0

local function reset(receiver)
  local record = read_receiver(receiver)
  local is_parked = redis.call('ZSCORE', key('parked'), receiver)
  if record.failures > 0 or record.open_until > 0 or record.asked_until > 0 or record.slow_until > 0 or is_parked then
    changed = changed + 1
  end
  if record.failures > 0 or record.open_until > 0 then
    close_breaker(receiver)
  end
  if record.asked_until > 0 or record.slow_until > 0 then
    end_pause(receiver)
  end
  if is_parked then
    unpark_receiver(receiver, now)
  end
end

for _, each in ipairs(owners) do
  local receiver = receiver_of(destination, each)
  if redis.call('ZSCORE', key('destinations'), receiver) then
    is_known = true
    reset(receiver)
  end
end
if not is_known then
  return redis.error_reply('DESTINATION_NOT_FOUND no job of this type' .. (owner and ' and owner' or '')
    .. ' was granted within a day with a callback to ' .. destination
    .. '; a destination is written scheme://host:port')
end
local is_failing = redis.call('ZSCORE', key('failing'), destination)
end_failing(destination)
if changed > 0 or is_failing then
  record_audit(actor, 'reset', owner and receiver_of(destination, owner) or destination, { 'receivers', changed })
end
