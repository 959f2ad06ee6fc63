--- How long a job says it will hold, against the policy's `expected_most`.
--- @include "base"

-- Returns the error that refuses it (ms), or nil. It reads the one field, which is null by default: the
-- table of all defaults would cost every submit time.
local function refuse_expected(milliseconds)
  local most = tonumber(redis.call('HGET', base, 'policy:expected_most') or '')
  if most and milliseconds > most then
    return redis.error_reply('EXPECTED_TOO_LONG expected must be at most ' .. most / 1000
      .. ' seconds, which the policy sets as expected_most')
  end
end
