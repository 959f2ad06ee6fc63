-- Writes what submits of one type leave behind, and does nothing else: it reads, checks and names
-- nothing, and tells nobody. KEYS[1]: the base; ARGV: the first ID, then of each job its request_id,
-- callback and data. It is how fast submits could be if all but the contract's own writes were free.
local base, first, stamp = KEYS[1], tonumber(ARGV[1]), '1795844209462630'
local owners, queued, shapes = base .. ':owner:6a7e', base .. ':status:queued', base .. ':shape:s'
local places = {}
for at = 2, #ARGV, 3 do
  local id, name = first + (at - 2) / 3, ARGV[at]
  local digest = string.format('%016d', id)
  redis.call('HSETNX', base .. ':callbacks:' .. id % 4096, digest, name) -- as many hashes as ours
  redis.call('HSET', base .. ':job:' .. name, 'id', id, 'owner', '6a7e', 'status', 'queued',
    'shape', 's', 'created', stamp, 'bytes', 1265, 'callback', ARGV[at + 1], 'data', ARGV[at + 2])
  redis.call('XADD', base .. ':events', 'MAXLEN', '~', 10000, '*', 'request_id', name, 'id', id,
    'status', 'queued', 'from', '', 'owner', '6a7e', 'by', '', 'waited', '', 'held', '', 'size', '',
    'amounts', '')
  places[#places + 1] = id
  places[#places + 1] = digest .. ':' .. name
end
redis.call('ZADD', owners, unpack(places))
redis.call('ZADD', queued, unpack(places))
redis.call('ZADD', shapes, unpack(places))
redis.call('HSET', base, 'id', first + #places / 2, 'clock', stamp, 'bytes', 20240)
redis.call('HINCRBY', base .. ':waiting', '6a7e', #places / 2)
redis.call('HINCRBY', base .. ':bytes', '6a7e', 10120)
return #places / 2
