--- Read the hosts that changed since an earlier reply, with the policy of the same instant.
--- Keeps: a reader that keeps what it read, and passes on the numbers of the reply, misses nothing.
--- KEYS[1] base
--- ARGV
---   epoch       string?  epoch of the earlier reply
---   number      decimal  change number of the earlier reply, or 0
---   with_usage  flag     read what each owner holds as well
--- Returns
---   epoch       string   with another epoch, numbers start again
---   number      decimal  number of the last change
---   is_whole    flag     all hosts follow, not only changed ones
---   settings    fields   the base hash: the policy and its number, the promises, and what is kept
---   usage       fields   <resource>/<owner> and amount; empty unless asked for
---   past_usage  fields   <resource>/<owner>, and its average and when that was, ms; the same
---   closed      strings  receivers that take no grants now
---   asked       fields   those of them that asked for time, and until when, ms
---   tried       fields   those of them that do not answer, and when the next callback is tried, ms
---   failing     strings  destinations that take no grants of any owner, in an outage on the broker's side
---   behind      strings  receivers where too many callbacks wait for another grant
---   hosts       rows     changed hosts
---     host      string   its name
---     fields    fields   its hash
--- Errors none
--- @include "base"
--- @include "destination"
--- @include "backlog"

local counters = redis.call('HMGET', base, 'clock_offset', 'clock_latest', 'hosts_epoch', 'hosts')
local now = now_ms(counters)

-- Mostly no receiver asked for time, fails or is behind: one command finds that, instead of five.
local is_any_held_up = redis.call('EXISTS', key('asked'), key('open'), key('failing'), key('turned'), key('behind')) > 0
local asked = is_any_held_up and redis.call('ZRANGEBYSCORE', key('asked'), '(' .. whole(now), '+inf', 'WITHSCORES') or {}

-- Receivers that asked for time, or whose circuit breaker is open; and until when that is open.
local tried = {}
local function closed_to_grants()
  local closed = {}
  for i = 1, #asked, 2 do
    closed[#closed + 1] = asked[i]
  end
  local open = is_any_held_up and redis.call('ZRANGE', key('open'), 0, -1, 'WITHSCORES') or {}
  for i = 1, #open, 2 do
    if tonumber(open[i + 1]) > now then
      tried[#tried + 1], tried[#tried + 2] = open[i], whole(open[i + 1])
    end
    if tonumber(open[i + 1]) > now or is_closed_to_grants(read_receiver(open[i]), now) then
      closed[#closed + 1] = open[i]
    end
  end
  return closed
end

local function behind_with_callbacks()
  local behind = {}
  for _, receiver in ipairs(is_any_held_up and redis.call('ZRANGE', key('behind'), 0, BEHIND_READ - 1) or {}) do
    if is_behind(receiver, is_prompt(receiver)) then
      behind[#behind + 1] = receiver
    end
  end
  return behind
end

local current_epoch = counters[3] or '0'
local is_whole = epoch ~= current_epoch
local names = redis.call('ZRANGEBYSCORE', key('hosts'), is_whole and '-inf' or '(' .. number, '+inf')
local hosts = {}
for i, host in ipairs(names) do
  hosts[i] = { host = host, fields = redis.call('HGETALL', key('host:' .. host)) }
end
local closed = closed_to_grants()
return reply({
  epoch = current_epoch,
  number = counters[4] or '0',
  is_whole = is_whole,
  settings = redis.call('HGETALL', base),
  usage = with_usage and redis.call('HGETALL', key('usage')) or {},
  past_usage = with_usage and redis.call('HGETALL', key('past_usage')) or {},
  closed = closed,
  asked = asked,
  tried = tried,
  failing = is_any_held_up and is_outage(now)
    and redis.call('ZRANGEBYSCORE', key('failing'), whole(now - RECENT_MS), '+inf') or {},
  behind = behind_with_callbacks(),
  hosts = hosts,
})
