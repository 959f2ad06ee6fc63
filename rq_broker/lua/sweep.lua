--- Let expire what has come to its end: offers and running time.
--- Keeps: a record that cannot be read is dropped from the deadlines, never in the way of the next.
--- KEYS[1] base
--- ARGV[1] how many at most
--- Returns {ms until the next deadline or '', jobs moved to error, request_id and ID of each
---   done or error job whose retention is over: theirs to withdraw is the caller's}
--- Errors none
--- @include "become"

local limit = ARGV[1]

local ENDED = {
  granted = 'offer expired before the callback succeeded',
  running = 'running time ended without renewal',
}

local deadlines, now, moved, over = key('deadlines'), now_ms(), 0, {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', whole(now), 'LIMIT', 0, limit)) do
  local job = load_job(request_id_of(member))
  if not job or job.member ~= member or job.status == 'queued' then
    redis.call('ZREM', deadlines, member)
  elseif ENDED[job.status] then
    local text = ENDED[job.status]
    if job.error ~= '' then
      text = text .. ': ' .. job.error
    end
    become(job, 'error', { 'error', text })
    moved = moved + 1
  else
    over[#over + 1] = job.request_id
    over[#over + 1] = job.id
  end
end
local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')
return { first[1] and whole(math.max(0, first[2] - now)) or '', moved, unpack(over) }
