--- Read which jobs hold capacity since when, and how long ended jobs held theirs.
--- Keeps: holders and history are of one instant.
--- KEYS[1] base
--- ARGV
---   limit         integer   how many holders of each status to read, by priority
--- Returns
---   now           integer   time of the reply, ms since 1970
---   history       integers  how long ended jobs held their capacity, ms, newest first
---   holders       rows      jobs that hold capacity, whether or not a source counts it as used
---     request_id  string    the client's name for it
---     owner       string    its owner, '' if unknown
---     granted     string    when it was granted, ms since 1970; '' if unknown
---     amounts     fields    <host>/<resource> and amount
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"

local HISTORY = 1000 -- holding times that a forecast draws from

-- Adds up what a job holds and what of its grant its source counts as used; returns field, value, ...
local function amounts_of(request_id)
  local amounts, index_of = redis.call('HGETALL', key('holds:' .. request_id)), {}
  for i = 1, #amounts, 2 do
    index_of[amounts[i]] = i + 1
  end
  local used = redis.call('HGETALL', key('seen:' .. request_id))
  for i = 1, #used, 2 do
    local index = index_of[used[i]] or #amounts + 2
    amounts[index - 1] = used[i]
    amounts[index] = whole((amounts[index] or 0) + used[i + 1])
  end
  return amounts
end

local history = {}
for i, entry in ipairs(redis.call('XREVRANGE', key('holding_times'), '+', '-', 'COUNT', HISTORY)) do
  history[i] = entry[2][2]
end

local holders = {}
for _, status in ipairs({ 'granted', 'running' }) do
  for _, member in ipairs(redis.call('ZRANGE', key('status:' .. status), 0, limit - 1)) do
    local request_id = request_id_of(member)
    local amounts = amounts_of(request_id)
    if #amounts > 0 then
      local fields = redis.call('HMGET', job_key(request_id), 'owner', 'granted')
      holders[#holders + 1] = {
        request_id = request_id,
        owner = fields[1] or '',
        granted = fields[2] or '',
        amounts = amounts,
      }
    end
  end
end
return reply({
  now = now_ms(),
  history = history,
  holders = holders,
})
