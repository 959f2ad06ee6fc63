--- The hosts and the policy of a type at one instant, see type_state.lua.
--- @include "base"
--- @include "destination"
--- @include "backlog"

-- Returns the receivers that asked for time, or whose circuit breaker is open; and until when that is open. `asked`:
-- the first, each with until when.
local function closed_to_grants(asked, now)
  local closed, tried = {}, {}
  for i = 1, #asked, 2 do
    closed[#closed + 1] = asked[i]
  end
  local open = redis.call('ZRANGE', key('open'), 0, -1, 'WITHSCORES')
  for i = 1, #open, 2 do
    if tonumber(open[i + 1]) > now then
      tried[#tried + 1], tried[#tried + 2] = open[i], whole(open[i + 1])
    end
    if tonumber(open[i + 1]) > now or is_closed_to_grants(read_receiver(open[i]), now) then
      closed[#closed + 1] = open[i]
    end
  end
  return closed, tried
end

local function behind_with_callbacks()
  local behind = {}
  for _, receiver in ipairs(redis.call('ZRANGE', key('behind'), 0, BEHIND_READ - 1)) do
    if is_behind(receiver, is_prompt(receiver)) then
      behind[#behind + 1] = receiver
    end
  end
  return behind
end

-- Returns the hosts that changed since an epoch and a number, or all; the epoch now; and whether they are all.
local function changed_hosts(epoch, number)
  local current_epoch = redis.call('HGET', base, 'hosts_epoch') or '0'
  local is_whole = epoch ~= current_epoch
  local hosts = {}
  local names = redis.call('ZRANGEBYSCORE', key('hosts'), is_whole and '-inf' or '(' .. number, '+inf')
  for i, host in ipairs(names) do
    hosts[i] = { host = host, fields = redis.call('HGETALL', key('host:' .. host)) }
  end
  return hosts, current_epoch, is_whole
end

local function read_capacity(epoch, number, with_usage)
  local now = now_ms()
  local asked = redis.call('ZRANGEBYSCORE', key('asked'), '(' .. whole(now), '+inf', 'WITHSCORES')
  local closed, tried = closed_to_grants(asked, now)
  local hosts, current_epoch, is_whole = changed_hosts(epoch, number)
  return {
    epoch = current_epoch,
    number = redis.call('HGET', base, 'hosts') or '0',
    is_whole = is_whole,
    settings = redis.call('HGETALL', base),
    usage = with_usage and redis.call('HGETALL', key('usage')) or {},
    past_usage = with_usage and redis.call('HGETALL', key('past_usage')) or {},
    closed = closed,
    asked = asked,
    tried = tried,
    failing = is_outage(now) and redis.call('ZRANGEBYSCORE', key('failing'), whole(now - RECENT_MS), '+inf') or {},
    behind = behind_with_callbacks(),
    hosts = hosts,
  }
end
