--- The record of withdrawn jobs: a DELETE that is repeated after a lost answer can be told from one of a
--- job that never was. `withdrawn` has names of jobs → when, each a second time with its owner as
--- `<owner>/<name>`, by which that owner alone is told; `withdrawals` has the digest of a DELETE's
--- idempotency key → when; times are ms.
--- @include "base"
--- @include "clock"

local WITHDRAWN_MS = 86400000 -- a day: clients that repeat a call do so within minutes
local WITHDRAWN_MOST = 10000 -- jobs: bounds the memory of a type to some 2 MB
local TRIM = 10 -- entries that one withdrawal deletes at most: more than it adds, and soon done

local function trim(set, most)
  local excess = math.min(redis.call('ZCARD', set) - most, TRIM)
  if excess > 0 then
    redis.call('ZREMRANGEBYRANK', set, 0, excess - 1)
  end
end

local function record_in(set, most, member, second)
  redis.call('ZADD', set, whole(now_ms()), member)
  if second then
    redis.call('ZADD', set, whole(now_ms()), second)
  end
  trim(set, most)
  redis.call('PEXPIRE', set, WITHDRAWN_MS)
end

-- Returns the name of a job with its owner; one that has it already, see store/keys.py, stays as it is.
local function owned_name(request_id, owner)
  return string.find(request_id, '/', 1, true) and request_id or owner .. '/' .. request_id
end

-- `owner`: of the job; nil where that is unknown.
local function record_withdrawal(request_id, owner, withdraw_key)
  record_in(key('withdrawn'), 2 * WITHDRAWN_MOST, request_id, owner and owned_name(request_id, owner))
  if withdraw_key then
    record_in(key('withdrawals'), WITHDRAWN_MOST, withdraw_key)
  end
end

local function is_recorded(set, member)
  local since = redis.call('ZSCORE', set, member)
  return since and since + WITHDRAWN_MS > now_ms()
end

-- Returns whether a job was withdrawn, as far as a caller with these owners may know; none: anybody's job.
local function is_withdrawn(request_id, owners)
  for _, owner in ipairs(owners) do
    if is_recorded(key('withdrawn'), owned_name(request_id, owner)) then
      return true
    end
  end
  return #owners == 0 and is_recorded(key('withdrawn'), request_id)
end

-- Forgets that a job of this name was withdrawn: another one has the name.
local function forget_withdrawal(request_id, owner)
  redis.call('ZREM', key('withdrawn'), request_id, owned_name(request_id, owner))
end
