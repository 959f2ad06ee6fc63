--- The policy: the field `policy:<name>` of the base hash, or the default.
--- The table of defaults, POLICY_DEFAULTS, is generated from the rows in domain/policy.py.
--- @include "base"
--- @include "policy_defaults"

local policy_read = {}

-- Takes the fields that a command has read: `values` has them behind the first `others` ones.
local function note_policy(fields, values, others)
  for i, field in ipairs(fields) do
    policy_read[field] = values[others + i] or POLICY_DEFAULTS[field]
  end
end

-- Reads several fields with one command, and others of the base hash; returns the values of these.
local function read_policy(fields, others)
  local names, count = others or {}, others and #others or 0
  for i, field in ipairs(fields) do
    names[count + i] = 'policy:' .. field
  end
  local values = redis.call('HMGET', base, unpack(names))
  note_policy(fields, values, count)
  return values
end

-- Returns a field as text: spans are in ms, and '' is none. A script that reads a field does not
-- change it, so each is read once.
local function policy_value(field)
  if not policy_read[field] then
    policy_read[field] = redis.call('HGET', base, 'policy:' .. field) or POLICY_DEFAULTS[field]
  end
  return policy_read[field]
end

-- Returns a field that is a number; the default where it is damaged, nil for none.
local function policy_number_of(field)
  local text = policy_value(field)
  return text ~= '' and number_of(text, tonumber(POLICY_DEFAULTS[field])) or nil
end
