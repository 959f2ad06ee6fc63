--- Sources of hosts: `sources` has their names, `source:<name>` is the record of one.
--- @include "base"
--- @include "clock"

local FORGET_SOURCE_MS = 3600000 -- long enough for an operator to see a source that stopped, and why

-- Returns whether a source has no hosts and was not polled for an hour.
local function is_past(source, now)
  local stored = redis.call('HMGET', key('source:' .. source), 'hosts', 'tried')
  return number_of(stored[1], 0) <= 0 and number_of(stored[2], 0) < now - FORGET_SOURCE_MS
end
