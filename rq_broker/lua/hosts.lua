--- Read the hosts that changed since the reader last looked, with the policy of the same instant.
--- Keeps: a reader that keeps what it got and asks again with the numbers returned misses nothing.
--- KEYS[1] base
--- ARGV[1] epoch from the last reply, or ''
--- ARGV[2] change number from the last reply, or '0'
--- Returns {epoch, change number, whether everything follows (1 or 0), base fields, {host, field, value, …} a host}
--- Errors none
--- @include "base"

local epoch, since = ARGV[1], ARGV[2]

local current = redis.call('HGET', base, 'hosts_epoch') or '0'
local all = epoch ~= current
local names = redis.call('ZRANGEBYSCORE', key('hosts'), all and '-inf' or '(' .. since, '+inf')
local reply = { current, redis.call('HGET', base, 'hosts') or '0', all and 1 or 0,
  redis.call('HGETALL', base) }
for _, host in ipairs(names) do
  local fields = redis.call('HGETALL', key('host:' .. host))
  table.insert(fields, 1, host)
  reply[#reply + 1] = fields
end
return reply
