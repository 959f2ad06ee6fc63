--- Read which jobs hold capacity now, of those that changed since an earlier reply.
--- Keeps: a reader that has read all holds once, and passes on `last`, misses no change. Where that is in
---   doubt (events were trimmed, or Redis was restored to another state), is_known is false.
--- KEYS[1] base
--- ARGV
---   since             string?  `last` of the earlier reply; not given: only `last` is read
---   limit             integer  how many events to read at most
--- Returns
---   last              string   ID of the last event read, or of the newest if is_known is false; '' if
---                              there is none
---   is_known          flag     what changed since then is all known; otherwise read all holds
---   has_more          flag     there are further events
---   ended             strings  jobs that changed and hold nothing now
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

local events = key('events')

-- 1. Events are missing unless the last event of the earlier reply is still there.
local entries = since and redis.call('XRANGE', events, since, '+', 'COUNT', limit + 1) or {}
if not entries[1] or entries[1][1] ~= since then
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  return reply({ last = newest and newest[1] or '', is_known = false, has_more = false, ended = {}, holds = {} })
end

-- 2. Read each job that changed, once.
local is_read, ended, holds = {}, {}, {}
for i = 2, #entries do
  local request_id = entries[i][2][2] -- the first field, see record_event
  if not is_read[request_id] then
    is_read[request_id] = true
    local hold = running_hold(request_id)
    if hold then
      holds[#holds + 1] = hold
    else
      ended[#ended + 1] = request_id
    end
  end
end
return reply({
  last = entries[#entries][1],
  is_known = true,
  has_more = #entries > limit,
  ended = ended,
  holds = holds,
})
