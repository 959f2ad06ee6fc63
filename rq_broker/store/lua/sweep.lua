--- Let expire what has come to its end: offers, running time, parking, what is known of destinations.
--- Keeps: a record that cannot be read is dropped from the deadlines, never in the way of the next.
--- KEYS[1] base
--- ARGV[1] how many at most
--- Returns {ms until the next deadline or '', jobs moved to error, request_id and ID of each
---   done or error job whose retention is over: theirs to withdraw is the caller's}
--- Errors none
--- @include "become"
--- @include "destination"

local limit = ARGV[1]

local ENDED = {
  granted = 'offer expired before the callback succeeded',
  running = 'running time ended without renewal',
}

local deadlines, now, moved, over = key('deadlines'), now_ms(), 0, {}
local outage = is_outage(now)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', whole(now), 'LIMIT', 0, limit)) do
  local job = load_job(request_id_of(member))
  if not job or job.member ~= member or job.status == 'queued' then
    redis.call('ZREM', deadlines, member)
  elseif ENDED[job.status] then
    local text = ENDED[job.status]
    if job.status == 'granted' then
      record_lost(job)
    end
    if job.error ~= '' then
      text = text .. ': ' .. job.error
    end
    -- In an outage of ours nobody is charged: the job keeps its place in line.
    local spared = job.status == 'granted' and outage
    become(job, spared and 'queued' or 'error', spared and {} or { 'error', text })
    moved = moved + 1
  else
    over[#over + 1] = job.request_id
    over[#over + 1] = job.id
  end
end
for _, destination in ipairs(redis.call('ZRANGEBYSCORE', key('parked'), '-inf', whole(now), 'LIMIT', 0, limit)) do
  local record = read_destination(destination)
  unpark(destination, free_slots(destination, record, now), now)
end
redis.call('ZREMRANGEBYSCORE', key('failing'), '-inf', whole(now - RECENT_MS))
redis.call('ZREMRANGEBYSCORE', key('turned'), '-inf', whole(now - RECENT_MS))
redis.call('ZREMRANGEBYSCORE', key('answering'), '-inf', whole(now - RECENT_MS))
for _, destination in ipairs(redis.call('ZRANGEBYSCORE', key('destinations'), '-inf', whole(now - FORGET_MS), 'LIMIT', 0, limit)) do
  redis.call('DEL', destination_key(destination))
  redis.call('ZREM', key('open'), destination)
  redis.call('ZREM', key('destinations'), destination)
end
local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')
return { first[1] and whole(math.max(0, first[2] - now)) or '', moved, unpack(over) }
