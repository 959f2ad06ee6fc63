--- Read who holds capacity since when, seen by a source or not, and how long others held theirs.
--- Keeps: holders and history are of one instant.
--- KEYS[1] base
--- ARGV[1] how many holders at most, of each status, by priority
--- Returns {now (ms), {spans held, ms, newest first}, {request_id, owner, granted (ms) or '',
---   <host>/<resource>, amount, …} a holder}
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"

local limit = tonumber(ARGV[1])

local reply = { whole(now_ms()), redis.call('LRANGE', key('history'), 0, -1) }
for _, status in ipairs({ 'granted', 'running' }) do
  for _, member in ipairs(redis.call('ZRANGE', key('status:' .. status), 0, limit - 1)) do
    local request_id = request_id_of(member)
    local ledger, has = redis.call('HGETALL', key('holds:' .. request_id)), {}
    for i = 1, #ledger, 2 do
      has[ledger[i]] = i + 1
    end
    local seen = redis.call('HGETALL', key('seen:' .. request_id))
    for i = 1, #seen, 2 do
      local held = has[seen[i]] or #ledger + 2
      ledger[held - 1] = seen[i]
      ledger[held] = whole((ledger[held] or 0) + seen[i + 1])
    end
    if #ledger > 0 then
      local about = redis.call('HMGET', job_key(request_id), 'owner', 'granted')
      table.insert(ledger, 1, about[2] or '')
      table.insert(ledger, 1, about[1] or '')
      table.insert(ledger, 1, request_id)
      reply[#reply + 1] = ledger
    end
  end
end
return reply
