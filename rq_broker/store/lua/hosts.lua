--- Read the hosts that changed since the reader last looked, with the policy of the same instant.
--- Keeps: a reader that keeps what it got and asks again with the numbers returned misses nothing.
--- KEYS[1] base
--- ARGV[1] epoch from the last reply, or ''
--- ARGV[2] change number from the last reply, or '0'
--- ARGV[3] '1' to read what each owner holds as well
--- Returns {epoch, change number, whether everything follows (1 or 0), fields of base,
---   fields of usage (<resource>/<owner>, amount), destinations closed to grants, {host, field, value, …} a host}
--- Errors none
--- @include "base"
--- @include "destination"

local epoch, since, with_usage = ARGV[1], ARGV[2], ARGV[3] == '1'

-- Those whose breaker is open, and in an outage of ours all that fail: they are spared.
local function closed_to_grants()
  local now, closed = now_ms(), {}
  if is_outage(now) then
    closed = redis.call('ZRANGEBYSCORE', key('failing'), whole(now - RECENT_MS), '+inf')
  end
  for _, destination in ipairs(redis.call('ZRANGE', key('open'), 0, -1)) do
    if is_closed_to_grants(destination, now) then
      closed[#closed + 1] = destination
    end
  end
  return closed
end

local current = redis.call('HGET', base, 'hosts_epoch') or '0'
local all = epoch ~= current
local names = redis.call('ZRANGEBYSCORE', key('hosts'), all and '-inf' or '(' .. since, '+inf')
local reply = { current, redis.call('HGET', base, 'hosts') or '0', all and 1 or 0,
  redis.call('HGETALL', base), with_usage and redis.call('HGETALL', key('usage')) or {},
  closed_to_grants() }
for _, host in ipairs(names) do
  local fields = redis.call('HGETALL', key('host:' .. host))
  table.insert(fields, 1, host)
  reply[#reply + 1] = fields
end
return reply
