--- Claims of callbacks. Who claims one sends it, and has a slot of its receiver until the lease ends; then it is due
--- again.
---
--- A receiver is a table here: `name`, `destination`, `record` (of lib/destination), and `free`, how many more
--- callbacks may go there now, once that was asked.
--- @include "base"
--- @include "batches"
--- @include "job"
--- @include "destination"
--- @include "signing_keys"

local deliveries = {} -- what was claimed, as rows of the reply
local free_at = {} -- destination → how many more callbacks may go there now, of all owners
-- What was claimed since the last write: by due set a list of (lease end, member); by receiver the same in `leases`, and
-- `members`.
local due_again, claimed = { deliveries = {}, prompt = {} }, {}

local function has_free_slot(receiver, now)
  if not receiver.free then
    local free, free_of_all = free_slots(receiver.name, receiver.record, now)
    receiver.free = free
    if free > 0 then
      free_at[receiver.destination] = free_at[receiver.destination] or free_of_all
    end
  end
  return receiver.free > 0 and free_at[receiver.destination] > 0
end

local function append_lease(flat, lease_ends, member)
  flat[#flat + 1], flat[#flat + 2] = lease_ends, member
end

-- Claims a job's callback for a receiver with a free slot; `attempt`: its number, which the job has already.
local function claim(job, attempt, receiver, lease_ends)
  local member, prompt = job.member, receiver.record.prompt
  receiver.free = receiver.free - 1
  free_at[receiver.destination] = free_at[receiver.destination] - 1
  append_lease(due_again[due_set(prompt)], whole(lease_ends), member)
  local of_receiver = claimed[receiver] or { leases = {}, members = {} }
  claimed[receiver] = of_receiver
  append_lease(of_receiver.leases, whole(lease_ends), member)
  of_receiver.members[#of_receiver.members + 1] = member
  if job.offer_ends < lease_ends then
    redis.call('ZADD', key('deadlines'), whole(lease_ends), member)
  end
  deliveries[#deliveries + 1] = {
    prompt = prompt,
    attempt = attempt,
    priority = job.priority,
    request_id = job.request_id,
    signing_keys = signing_keys_of(job.owner),
    fields = redis.call('HGETALL', job_key(job.request_id)),
  }
end

-- Makes what was claimed due again at the end of the lease, and takes the slots. Returns receiver → what was claimed
-- for it.
local function write_claims()
  local written = claimed
  for set, flat in pairs(due_again) do
    add_members(key(set), flat)
  end
  for receiver, of_receiver in pairs(written) do
    take_slots(receiver.name, of_receiver.leases)
  end
  due_again, claimed = { deliveries = {}, prompt = {} }, {}
  return written
end
