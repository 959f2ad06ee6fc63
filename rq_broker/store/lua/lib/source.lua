--- Sources of hosts: `sources` has their names, `source:<name>` is the record of one.
--- @include "base"
--- @include "clock"

local STALE_INTERVALS = 3 -- as records.source_state counts
local FORGET_SOURCE_MS = 3600000 -- long enough for an operator to see a source that stopped, and why

-- Returns whether a source has no hosts and was not polled for an hour.
local function is_past(source, now)
  local stored = redis.call('HMGET', key('source:' .. source), 'hosts', 'tried')
  return number_of(stored[1], 0) <= 0 and number_of(stored[2], 0) < now - FORGET_SOURCE_MS
end

-- Returns whether a source was not polled for three of its intervals.
local function is_abandoned(source, now)
  local stored = redis.call('HMGET', key('source:' .. source), 'tried', 'interval')
  return number_of(stored[1], 0) < now - STALE_INTERVALS * number_of(stored[2], 0)
end
