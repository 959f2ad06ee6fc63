--- The policy: the field `policy:<name>` of the base hash, or the default.
--- The table of defaults, POLICY_DEFAULTS, is generated from the rows in domain/policy.py.
--- @include "base"
--- @include "policy_defaults"

local policy_read = {}

-- Returns a field as text: spans are in ms, and '' is none. A script that reads a field does not
-- change it, so each is read once.
local function policy_value(field)
  if not policy_read[field] then
    policy_read[field] = redis.call('HGET', base, 'policy:' .. field) or POLICY_DEFAULTS[field]
  end
  return policy_read[field]
end
