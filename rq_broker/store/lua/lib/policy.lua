--- The policy: the field `policy:<name>` of the base hash, or the default.
--- @include "base"

local POLICY_DEFAULTS = { -- the same as in domain/policy.py, held by a test
  offer = '300000', running = '', retention = '604800000', concurrency = '32',
  holds = 'until_done', settle = '60000',
}

local policy_read = {}

-- Returns a field as text: spans are in ms, and '' is none. A script that reads a field does not
-- change it, so each is read once.
local function policy_value(field)
  if not policy_read[field] then
    policy_read[field] = redis.call('HGET', base, 'policy:' .. field) or POLICY_DEFAULTS[field]
  end
  return policy_read[field]
end
