--- Take callbacks that are due, each for the length of a lease.
--- Keeps: a claimed delivery is nobody else's until its lease ends; a dead courier's falls due
---   again; no offer ends while a callback is on its way, and none starts after the offer's end;
---   no destination gets more at once than it may.
--- KEYS[1] base
--- ARGV[1] lease, ms
--- ARGV[2] how many at most
--- Returns {ms until the next is due or '', signing keys (owner or '*', keys, …), {attempt, priority,
---   request_id, {field, value, …}} a delivery}
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "destination"

local lease, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local LOOKS = 1000 -- due deliveries looked at in one claim, should most of them have to wait

local deliveries, now = key('deliveries'), now_ms()
local ends = whole(now + lease)
local reply, room = { '', redis.call('HGETALL', key('keys')) }, {}
local leases, flights = {}, {} -- pairs of end and member: all claimed, and those to each destination

local function room_at(destination)
  if not room[destination] then
    room[destination] = free_slots(destination, read_destination(destination), now)
  end
  return room[destination]
end

local function lease_to(pairs_of, member)
  pairs_of[#pairs_of + 1] = ends
  pairs_of[#pairs_of + 1] = member
end

local function claim(job, member, request_id)
  record_lost(job)
  flights[job.destination] = flights[job.destination] or {}
  lease_to(leases, member)
  lease_to(flights[job.destination], member)
  if job.offer_ends < now + lease then
    redis.call('ZADD', key('deadlines'), ends, member)
  end
  local attempt = redis.call('HINCRBY', job_key(request_id), 'attempts', 1)
  reply[#reply + 1] = { attempt, job.priority, request_id, redis.call('HGETALL', job_key(request_id)) }
end

-- Writes down what was claimed since the last time.
local function note_leases()
  if #leases > 0 then
    redis.call('ZADD', deliveries, unpack(leases))
    leases = {}
  end
  for destination, taken in pairs(flights) do
    fly(destination, taken)
  end
  flights = {}
end

-- Returns whether it was claimed.
local function look_at(member)
  local request_id = request_id_of(member)
  local job = load_job(request_id)
  if not job or job.member ~= member or job.status ~= 'granted' then
    redis.call('ZREM', deliveries, member)
  elseif job.offer_ends <= now then
    redis.call('ZADD', deliveries, ends, member)
    redis.call('ZADD', key('deadlines'), whole(now), member)
  elseif room_at(job.destination) <= 0 then
    park(job.destination, member, now)
  else
    room[job.destination] = room[job.destination] - 1
    claim(job, member, request_id)
    return true
  end
  return false
end

-- What cannot go now makes room for what is behind it: a thousand callbacks that a dead destination
-- is owed do not hide the one that a healthy one is.
local claimed, seen, looked, more = 0, {}, 0, true
while more and claimed < limit and looked < LOOKS do
  more = false
  local due = redis.call('ZRANGEBYSCORE', deliveries, '-inf', whole(now), 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    if claimed < limit and not seen[member] then
      seen[member], looked, more = true, looked + 1, true
      claimed = claimed + (look_at(member) and 1 or 0)
    end
  end
  note_leases()
end
local first = redis.call('ZRANGE', deliveries, 0, 0, 'WITHSCORES')
if first[1] then
  local wait = math.max(0, first[2] - now)
  reply[1] = whole(wait)
  if wait == 0 then
    wake('deliver')
  end
end
return reply
