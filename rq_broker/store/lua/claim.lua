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
--- @include "backlog"
--- @include "signing_keys"

local EXAMINE_LIMIT = 1000 -- due callbacks examined in one call: bounds its time if most have to wait

local counters = read_policy({ 'concurrency' }, { 'clock_offset', 'clock_latest', 'unclaimed_since', 'late' })
if not keep_clock(believed, counters) then
  return clock_in_doubt()
end
switch_off() -- no more is written than the time, see lib/guard
local now = now_ms()
local lease_ends = whole(now + lease)
local deliveries = {}
local receivers = {} -- by name: its record, and how many more callbacks may go there now
local free_at = {} -- destination → how many more callbacks may go there now, of all owners
-- Lists of (lease end, member) for the claims since the last write, by due set and by receiver.
local due_again, slots = { deliveries = {}, prompt = {} }, {}

local function read_once(receiver, destination)
  local known = receivers[receiver]
  if not known then
    local record = read_receiver(receiver)
    local free, free_of_all = free_slots(receiver, record, now)
    known = { record = record, prompt = record.prompt, free = free }
    receivers[receiver] = known
    if free > 0 then
      free_at[destination] = free_at[destination] or free_of_all
    end
  end
  return known
end

local function append_lease(flat, member)
  flat[#flat + 1] = lease_ends
  flat[#flat + 1] = member
end

local function claim(job, set, prompt)
  record_lost(job)
  local member, name, attempt = job.member, job_key(job.request_id), job.attempts + 1
  if set ~= due_set(prompt) then
    redis.call('ZREM', key(set), member)
  end
  append_lease(due_again[due_set(prompt)], member)
  slots[job.receiver] = slots[job.receiver] or {}
  append_lease(slots[job.receiver], member)
  if job.offer_ends < now + lease then
    redis.call('ZADD', key('deadlines'), lease_ends, member)
  end
  redis.call('HSET', name, 'attempts', whole(attempt))
  deliveries[#deliveries + 1] = {
    prompt = prompt,
    attempt = attempt,
    priority = job.priority,
    request_id = job.request_id,
    signing_keys = signing_keys_of(job.owner),
    fields = redis.call('HGETALL', name),
  }
end

-- Claims one due callback, or moves it to the set in which it has to wait. Returns false once no more may go to
-- unproven destinations.
local function examine(member, set)
  local job = load_job(request_id_of(member))
  if not job or job.member ~= member or job.status ~= 'granted' then
    redis.call('ZREM', key(set), member)
    return true
  elseif job.offer_ends <= now then -- the next sweep ends the offer
    redis.call('ZADD', key(set), lease_ends, member)
    redis.call('ZADD', key('deadlines'), whole(now), member)
    wake('sweep')
    return true
  end
  local receiver = read_once(job.receiver, job.destination)
  if receiver.free <= 0 or free_at[job.destination] <= 0 then
    park(job.receiver, receiver.record, member, now)
  elseif receiver.prompt or unproven > 0 then
    receiver.free = receiver.free - 1
    free_at[job.destination] = free_at[job.destination] - 1
    unproven = unproven - (receiver.prompt and 0 or 1)
    claim(job, set, receiver.prompt)
  elseif set == 'prompt' then -- its destination was prompt when it was scheduled
    reschedule(member, false, now)
  else
    return false
  end
  return true
end

local function members_of(flat)
  local members = {}
  for i = 2, #flat, 2 do
    members[#members + 1] = flat[i]
  end
  return members
end

-- Makes what was claimed due again at the end of the lease, and takes the slots.
local function write_claims()
  for set, flat in pairs(due_again) do
    add_members(key(set), flat)
  end
  for receiver, flat in pairs(slots) do
    take_slots(receiver, flat)
    count_claimed(receiver, receivers[receiver].prompt, members_of(flat))
  end
  due_again, slots = { deliveries = {}, prompt = {} }, {}
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
    write_claims()
  end
  write_claims()
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
