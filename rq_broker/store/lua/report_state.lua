--- Read how far the events of a type are counted for its reports.
--- Keeps: nothing changes.
--- KEYS[1] base
--- ARGV none
--- Returns
---   now      integer  Redis's clock, ms since 1970: the IDs of events are of this clock
---   state    string   what roll_up wrote, JSON; '' for nothing
---   newest   string   ID of the newest event; '' if there is none
--- Errors none
--- @include "base"
--- @include "wall"

local state = redis.pcall('GET', key('report'))
local newest = redis.call('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)[1]
return reply({
  now = math.floor(wall_us() / 1000),
  state = type(state) == 'string' and state or '',
  newest = newest and newest[1] or '',
})
