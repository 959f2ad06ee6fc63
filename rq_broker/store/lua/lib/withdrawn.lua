--- The record of withdrawn jobs: a DELETE that is repeated after a lost answer can be told from one of a
--- job that never was. `withdrawn` has request_id → when, `withdrawals` has the digest of a DELETE's
--- idempotency key → when; times are ms.
--- @include "base"
--- @include "clock"

local WITHDRAWN_MS = 86400000 -- a day: clients that repeat a call do so within minutes
local WITHDRAWN_MOST = 10000 -- entries: bounds the memory of a type to some 1 MB
local TRIM = 10 -- entries that one withdrawal deletes at most: more than it adds, and soon done

local function trim(set)
  local excess = math.min(redis.call('ZCARD', set) - WITHDRAWN_MOST, TRIM)
  if excess > 0 then
    redis.call('ZREMRANGEBYRANK', set, 0, excess - 1)
  end
end

local function record_in(set, member)
  redis.call('ZADD', set, whole(now_ms()), member)
  trim(set)
  redis.call('PEXPIRE', set, WITHDRAWN_MS)
end

local function record_withdrawal(request_id, withdraw_key)
  record_in(key('withdrawn'), request_id)
  if withdraw_key then
    record_in(key('withdrawals'), withdraw_key)
  end
end

local function is_recorded(set, member)
  local since = redis.call('ZSCORE', set, member)
  return since and since + WITHDRAWN_MS > now_ms()
end

-- Forgets that a job of this name was withdrawn: another one has the name.
local function forget_withdrawal(request_id)
  redis.call('ZREM', key('withdrawn'), request_id)
end
