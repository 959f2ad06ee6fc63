--- The policy as scripts see it: `policy:<field>` of the base, or the default models.Policy has too.
--- @include "base"

local POLICY_DEFAULTS = {
  offer = '300000', running = '', retention = '604800000', concurrency = '32',
  holds = 'until_done', settle = '60000',
}

local policy_read = {}

-- Spans are milliseconds as text, '' for none. A script that asks does not change them.
local function policy_value(field)
  if not policy_read[field] then
    policy_read[field] = redis.call('HGET', base, 'policy:' .. field) or POLICY_DEFAULTS[field]
  end
  return policy_read[field]
end
