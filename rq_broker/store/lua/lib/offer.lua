--- Offers: the grant of a job without callback is an offer, which its client takes with `running`, or declines, before
--- `offer_ends`. Nobody is called, so an offer takes no slot and waits for no courier.
---
--- `offer <owner>` is the receiver of an owner's offers, and has a breaker as any other, see lib/destination. Offers that
--- are missed are its failures, and whatever a client does with an offer is its answer. So a client that submits ten
--- thousand jobs and goes away holds as many as lib/backlog allows for one `offer`, and then one at a time, with a pause
--- after each: the first as long as an offer, the next ones twice as long as the one before.
--- @include "base"
--- @include "become"
--- @include "destination"

local MISSES = 3 -- in a row: end a job in error, and open the breaker of its owner's offers
local MOST_PAUSE = 8 -- offers, the longest pause: a client that is gone holds one job's capacity a ninth of the time

-- Counts an offer that nobody took.
local function record_miss(receiver, now)
  local failures = add_to(destination_key(receiver), 'failures', 1) or MISSES
  redis.call('ZADD', key('destinations'), whole(now), receiver) -- keeps the record for a day
  if failures >= MISSES and read_receiver(receiver).open_until <= now then
    local span = policy_number_of('offer') or OPEN_MS
    open_breaker(receiver, now, span, MOST_PAUSE * span)
  end
end

-- Ends an offer that nobody took: its job goes back to its place in the queue, after MISSES in a row to `error`.
local function miss_offer(job, now)
  local missed = number_of(redis.call('HGET', job_key(job.request_id), 'missed'), 0) + 1
  record_miss(job.receiver, now)
  record_event(job, job.status, 'offer_missed')
  if missed < MISSES then
    become(job, 'queued', { 'error', 'offer_missed', 'missed', whole(missed) })
  else
    become(job, 'error', {
      'error', 'offer_missed: ' .. MISSES .. ' offers in a row were not taken', 'cause', 'offer_missed',
    })
  end
end

-- Notes that a client did something with an offer, or put a job that missed its offers back in the queue.
local function note_answer(receiver)
  if read_receiver(receiver).failures > 0 then
    close_breaker(receiver)
  end
  if redis.call('ZREM', key('behind'), receiver) == 1 then
    wake('grant')
  end
end
