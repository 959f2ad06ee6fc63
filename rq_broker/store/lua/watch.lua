--- Begin a snapshot of a source.
--- Keeps: once a later term has begun a snapshot, an earlier term neither begins nor applies one.
--- KEYS[1] base
--- ARGV
---   source    string    its name
---   term      integer   term of the lock on polling it
---   interval  integer   ms between two snapshots
---   naming    string    how the source names servers: uuid; any; none, if it reports none
--- Returns
---   begun     integer?  the time now, ms; not given if a later term polls the source
---   servers   strings   servers of running jobs, whose shares of `used` the snapshot must report
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "policy"

local record, begun = key('source:' .. source), now_ms()
local last_term = number_of(redis.call('HGET', record, 'term'), 0)
if term < last_term then
  return reply({ begun = nil, servers = {} })
end

-- 1. List the servers whose reported use replaces holds.
local servers = {}
if policy_value('holds') == 'until_seen' then
  for _, member in ipairs(redis.call('ZRANGE', key('status:running'), 0, -1)) do
    local names = redis.pcall('HGET', job_key(request_id_of(member)), 'servers')
    for server in string.gmatch(names and not names.err and names or '', '%S+') do
      servers[#servers + 1] = server
    end
  end
end

-- 2. Record the poll. Sequences of snapshots begin anew with each term.
if term > last_term then
  redis.call('HDEL', record, 'sequence')
end
redis.call('SADD', key('sources'), source)
redis.call('HSETNX', record, 'since', whole(begun))
redis.call('HSET', record, 'term', whole(term), 'interval', whole(interval), 'naming', naming,
  'tried', whole(begun))
return reply({ begun = begun, servers = servers })
