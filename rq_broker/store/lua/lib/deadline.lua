--- Deadlines: a job's time in a status ends so long after it began as the policy says.
--- Keeps: once sweeps have counted anew after a change of the policy, each deadline is the time since which
--- the job has the status, or last renewed it, plus the span of the policy; an offer whose callback is
--- in flight ends with the lease at the earliest. A running job's own `hold_at_most` counts where it is shorter.
--- @include "base"
--- @include "clock"
--- @include "policy"
--- @include "wake"
--- @include "alarm"

-- Status → the policy field with the milliseconds after which a job's time in that status ends.
local SPANS = { granted = 'offer', running = 'running', done = 'retention', error = 'retention' }

-- `hold_at_most`: the job's own running time, ms; nil for none.
local function set_deadline(member, status, since, hold_at_most)
  local field = SPANS[status]
  local span = field and policy_number_of(field)
  if hold_at_most and status == 'running' then
    span = math.min(span or hold_at_most, hold_at_most)
    set_notice(member, since + span, span)
  end
  if span then
    set_due('deadlines', since + span, member, 'sweep')
    if since + span <= now_ms() then
      wake('sweep')
    end
  else
    redis.call('ZREM', key('deadlines'), member)
  end
end

-- Sets the deadline of several jobs that come to a status now; none of them is to run.
local function set_deadlines(members, status)
  local span = policy_number_of(SPANS[status])
  if not span then
    remove_members(key('deadlines'), members)
    return
  end
  set_due_together('deadlines', now_ms() + span, members, 'sweep')
  if span <= 0 then
    wake('sweep')
  end
end

-- Sets the deadline of an offer, and when callbacks stop to be tried.
local function set_offer(member, name, since, in_flight)
  local offer = policy_number_of('offer')
  redis.call('HSET', name, 'offer_ends', offer and whole(since + offer) or '')
  local lease_ends = in_flight
    and (redis.call('ZSCORE', key('prompt'), member) or redis.call('ZSCORE', key('deliveries'), member))
  if offer and lease_ends and tonumber(lease_ends) > since + offer then
    set_due('deadlines', tonumber(lease_ends), member, 'sweep')
  else
    set_deadline(member, 'granted', since)
  end
end

-- Returns when a job was last updated, by the type's clock, ms; nil if it is damaged.
local function last_update(updated)
  local _, offset = read_clock()
  local us = tonumber(updated or '')
  return us and math.floor(us / 1000) + offset
end

-- Counts the deadline of a job anew with the policy as it is now. `name`: the key of its hash.
local function recount_deadline(member, status, name)
  local f = redis.pcall('HMGET', name, 'granted', 'attempts', 'settled', 'renewed', 'running_since', 'ended', 'updated',
    'hold_at_most')
  local starts = { granted = f[1], running = f[4] or f[5], done = f[6], error = f[6] }
  local since = tonumber(starts[status] or '') or last_update(f[7])
  if not since then -- a damaged job keeps its deadline
    return
  elseif status == 'granted' then
    set_offer(member, name, since, (f[2] or '0') ~= '0' and f[2] ~= f[3])
  else
    set_deadline(member, status, since, tonumber(f[8] or ''))
  end
end
