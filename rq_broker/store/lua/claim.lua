--- Take callbacks that are due, each for the length of a lease.
--- Keeps: a claimed delivery is nobody else's until its lease ends; a dead courier's falls due
---   again; no offer ends while a callback is on its way, and none starts after the offer's end;
---   no destination gets more at once than it may, and those not known to be prompt get no more
---   together than the caller says.
--- KEYS[1] base
--- ARGV[1] lease, ms
--- ARGV[2] how many at most
--- ARGV[3] how many of them at most to destinations not known to be prompt
--- Returns {ms until the next is due that could be claimed or '',
---   {1 if its destination is prompt else 0, attempt, priority, request_id, what to sign it with (keys,
---   the newest first, or ''), {field, value, …}} a delivery}
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"
--- @include "destination"

local lease, limit, unproven = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local LOOKS = 1000 -- due deliveries looked at in one claim, should most of them have to wait

local now, full = now_ms(), false
local ends = whole(now + lease)
local reply, known, keys = { '' }, {}, {}
-- Pairs of end and member: those claimed from each line, and those to each destination.
local leases, flights = { deliveries = {}, prompt = {} }, {}

local function know(destination)
  if not known[destination] then
    local record = read_destination(destination)
    known[destination] = { prompt = record.prompt, room = free_slots(destination, record, now) }
  end
  return known[destination]
end

-- An owner's own keys go before the type's.
local function keys_of(owner)
  if not keys[owner] then
    local f = redis.call('HMGET', key('keys'), owner, '*')
    keys[owner] = f[1] or f[2] or ''
  end
  return keys[owner]
end

local function lease_to(pairs_of, member)
  pairs_of[#pairs_of + 1] = ends
  pairs_of[#pairs_of + 1] = member
end

local function claim(job, member, request_id, line, prompt)
  record_lost(job)
  if line ~= line_of(prompt) then
    redis.call('ZREM', key(line), member)
  end
  flights[job.destination] = flights[job.destination] or {}
  lease_to(leases[line_of(prompt)], member)
  lease_to(flights[job.destination], member)
  if job.offer_ends < now + lease then
    redis.call('ZADD', key('deadlines'), ends, member)
  end
  local attempt = redis.call('HINCRBY', job_key(request_id), 'attempts', 1)
  reply[#reply + 1] = { prompt and 1 or 0, attempt, job.priority, request_id, keys_of(job.owner),
    redis.call('HGETALL', job_key(request_id)) }
end

-- Writes down what was claimed since the last time.
local function note_leases()
  for line, taken in pairs(leases) do
    if #taken > 0 then
      redis.call('ZADD', key(line), unpack(taken))
    end
  end
  leases = { deliveries = {}, prompt = {} }
  for destination, taken in pairs(flights) do
    fly(destination, taken)
  end
  flights = {}
end

-- Returns whether it was claimed; `full` once no more may go to those not known to be prompt.
local function look_at(member, line)
  local request_id = request_id_of(member)
  local job = load_job(request_id)
  if not job or job.member ~= member or job.status ~= 'granted' then
    redis.call('ZREM', key(line), member)
    return false
  elseif job.offer_ends <= now then
    redis.call('ZADD', key(line), ends, member)
    redis.call('ZADD', key('deadlines'), whole(now), member)
    return false
  end
  local there = know(job.destination)
  if there.room <= 0 then
    park(job.destination, member, now)
  elseif there.prompt or unproven > 0 then
    there.room = there.room - 1
    unproven = unproven - (there.prompt and 0 or 1)
    claim(job, member, request_id, line, there.prompt)
    return true
  elseif line == 'prompt' then
    owe_again(member, false, now) -- it has been prompt
  else
    full = true
  end
  return false
end

-- What cannot go now makes room for what is behind it: a thousand callbacks that a dead destination
-- is owed do not hide the one that a healthy one is.
local claimed, looked = 0, 0

local function take_from(line)
  local seen, more = {}, true
  while more and not full and claimed < limit and looked < LOOKS do
    more = false
    local due = redis.call('ZRANGEBYSCORE', key(line), '-inf', whole(now), 'LIMIT', 0, limit)
    for _, member in ipairs(due) do
      if claimed < limit and not full and not seen[member] then
        seen[member], looked, more = true, looked + 1, true
        claimed = claimed + (look_at(member, line) and 1 or 0)
      end
    end
    note_leases()
  end
end

local function note_wait(line)
  local first = redis.call('ZRANGE', key(line), 0, 0, 'WITHSCORES')
  if first[1] then
    local wait = math.max(0, first[2] - now)
    reply[1] = whole(math.min(wait, tonumber(reply[1]) or wait))
    if wait == 0 then
      wake('deliver')
    end
  end
end

-- The unproven first, as they get only a share: neither line ever waits for the other's end.
if unproven > 0 then
  take_from('deliveries')
end
full = false
take_from('prompt')
note_wait('prompt')
if unproven > 0 then
  note_wait('deliveries')
end
return reply
