--- Read a part of the jobs that hold capacity.
--- Keeps: parts read one after the other, until there is no cursor, have every job that held all the
---   time; some jobs may be in two parts.
--- KEYS[1] base
--- ARGV
---   status            string   granted or running
---   cursor            decimal  `cursor` of the part before, or 0
---   limit             integer  about how many jobs to read
--- Returns
---   cursor            decimal  for the next part; 0 if there is none
---   holds             rows     a job that holds capacity, under `until_seen` also if none of it is held now
---     id              decimal  its ID
---     request_id      string   its name
---     owner           string   its owner
---     granted         decimal  when it was granted, ms since 1970
---     hosts           string   the host of each instance, a JSON array
---     demand          string   its shape, canonical JSON
---     predicted       decimal? how long it is predicted to hold, ms
---     predicted_from  string?  what that rests on
---     demand_key      string?  digest of its demand
---     size            decimal? its size class
---     expected        decimal? how long it says it will hold, ms
---     devices         string?  the devices of each instance, a JSON array; given if there are any
---     alternative     decimal? which of its alternatives it was granted
--- Errors none
--- @include "base"
--- @include "job"
--- @include "running_hold"

local scanned = redis.call('ZSCAN', key('status:' .. status), cursor, 'COUNT', limit)
local members, holds = scanned[2], {}
for i = 1, #members, 2 do
  holds[#holds + 1] = running_hold(request_id_of(members[i]))
end
return reply({ cursor = scanned[1], holds = holds })
