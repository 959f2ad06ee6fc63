--- Begin a snapshot of a source: learn when that was, and whose share of it is wanted.
--- Keeps: whoever lost the turn to a later term is told so.
--- KEYS[1] base
--- ARGV[1] source
--- ARGV[2] term of the turn to poll it
--- ARGV[3] ms between two snapshots
--- Returns {now (ms), server, …}, or {} when a later term was here
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "policy"

local source, term, interval = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local record, now = key('source:' .. source), whole(now_ms())
local last = tonumber(redis.call('HGET', record, 'term') or '0')
if term < last then
  return {}
end
if term > last then
  redis.call('HDEL', record, 'sequence')
end
redis.call('SADD', key('sources'), source)
redis.call('HSETNX', record, 'since', now)
redis.call('HSET', record, 'term', whole(term), 'interval', interval, 'tried', now)
local reply = { now }
if policy_value('holds') == 'until_seen' then
  for _, member in ipairs(redis.call('ZRANGE', key('status:running'), 0, -1)) do
    local servers = redis.call('HGET', job_key(request_id_of(member)), 'servers') or ''
    for server in string.gmatch(servers, '%S+') do
      reply[#reply + 1] = server
    end
  end
end
return reply
