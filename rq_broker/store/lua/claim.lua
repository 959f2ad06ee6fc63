--- Claim callbacks that are due, each for the length of a lease.
--- Keeps: nobody else claims a callback until its lease ends; then it is due again, so a dead courier
---   needs no recovery. No offer ends while its callback is in flight, and no callback starts after
---   its offer's end. No destination gets more callbacks at once than it may take.
--- KEYS[1] base
--- ARGV
---   lease           integer   how long a claim lasts, ms
---   limit           integer   how many to claim at most
---   unproven        integer   how many of these at most to destinations that are not prompt
--- Returns
---   wait            integer?  ms until the next callback that could be claimed is due; not given
---                             if there is none
---   deliveries      rows      a claimed callback
---     prompt        flag      whether its destination is prompt
---     attempt       integer   number of the attempt, from 1
---     priority      decimal   the job's priority
---     request_id    string    the job's request_id
---     signing_keys  string    keys to sign it with, the newest first; '' for none
---     fields        fields    the job's hash
--- Errors none
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "queue"
--- @include "destination"
--- @include "claims"
--- @include "backlog"

local EXAMINE_LIMIT = 1000 -- due callbacks examined in one call: bounds its time if most have to wait

local counters = read_policy({ 'concurrency' }, { 'clock_offset', 'clock_latest', 'unclaimed_since', 'late' })
if not keep_clock(believed, counters) then
  return clock_in_doubt()
end
switch_off() -- no more is written than the time, see lib/guard
local now = now_ms()
local lease_ends = now + lease
local receivers = {} -- by name, see lib/claims

local function read_once(name, destination)
  local known = receivers[name]
  if not known then
    known = { name = name, destination = destination, record = read_receiver(name) }
    receivers[name] = known
  end
  return known
end

-- Claims a callback that was due in `set`, for one more attempt.
local function claim_again(job, set, receiver)
  record_lost(job)
  local attempt = job.attempts + 1
  if set ~= due_set(receiver.record.prompt) then
    redis.call('ZREM', key(set), job.member)
  end
  redis.call('HSET', job_key(job.request_id), 'attempts', whole(attempt))
  claim(job, attempt, receiver, lease_ends)
end

-- Claims one due callback, or moves it to the set in which it has to wait. Returns false once no more may go to
-- unproven destinations.
local function examine(member, set)
  local job = load_job(request_id_of(member))
  if not job or job.member ~= member or job.status ~= 'granted' then
    redis.call('ZREM', key(set), member)
    return true
  elseif job.offer_ends <= now then -- the next sweep ends the offer
    redis.call('ZADD', key(set), whole(lease_ends), member)
    redis.call('ZADD', key('deadlines'), whole(now), member)
    wake('sweep')
    return true
  end
  local receiver = read_once(job.receiver, job.destination)
  local prompt = receiver.record.prompt
  if not has_free_slot(receiver, now) then
    park(job.receiver, receiver.record, member, now)
  elseif prompt or unproven > 0 then
    unproven = unproven - (prompt and 0 or 1)
    claim_again(job, set, receiver)
  elseif set == 'prompt' then -- its destination was prompt when it was scheduled
    reschedule(member, false, now)
  else
    return false
  end
  return true
end

local function write_page()
  for receiver, of_receiver in pairs(write_claims()) do
    count_claimed(receiver.name, receiver.record.prompt, of_receiver.members)
  end
end

local examined = 0

-- Examines the first of a due set. Returns whether to go on behind them.
local function claim_page(set, was_examined)
  local progress, due = false, redis.call('ZRANGEBYSCORE', key(set), '-inf', whole(now), 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    if #deliveries >= limit then
      return false
    end
    if not was_examined[member] then
      was_examined[member], examined, progress = true, examined + 1, true
      if not examine(member, set) then
        return false
      end
    end
  end
  return progress and #due == limit
end

-- Claims from a due set in the order in which its callbacks fell due. One that has to wait is moved out
-- of the way: a thousand callbacks to a dead destination do not hide one to a healthy destination.
local function claim_from(set)
  local was_examined = {}
  while #deliveries < limit and examined < EXAMINE_LIMIT and claim_page(set, was_examined) do
    write_page()
  end
  write_page()
end

local wait

-- Finds when the next callback of a due set is due. One that is due now wakes a courier. If this call may
-- claim none to unproven destinations, their callbacks are for others.
local function note_wait(set, marker)
  local first = redis.call('ZRANGE', key(set), 0, 0, 'WITHSCORES')
  if first[1] then
    local ms = math.max(0, first[2] - now)
    if marker == 'deliver' then
      wait = math.min(ms, wait or ms)
    end
    if ms == 0 then
      wake(marker)
    end
  end
end

-- 1. Claim for unproven destinations, which get no more than their share of the limit.
local may_claim_unproven = unproven > 0
if may_claim_unproven then
  begin_work('deliver', 'unproven')
  claim_from('deliveries')
else
  begin_work('deliver')
end

-- 2. Claim for prompt destinations, as many as the limit leaves.
claim_from('prompt')

-- 3. Find when to claim again.
note_wait('prompt', 'deliver')
note_wait('deliveries', may_claim_unproven and 'deliver' or 'unproven')
note_claim(now, counters[3], counters[4])
return reply({ wait = wait, deliveries = deliveries })
