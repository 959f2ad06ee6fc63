--- The keys of this type: KEYS[1] is its base; every other key is derived from it and shares its slot.
local base = KEYS[1]

local acting -- name of who makes the change; nil where it is the broker's own. Set with `actor`, see store/contracts

local function key(name)
  return base .. ':' .. name
end

-- Returns the name of the type.
local function type_name()
  return string.sub(base, 6, -2)
end

-- Formats a whole number with all its digits; Lua's own tostring keeps 14. `%d` takes a fifth of the time of `%.0f`,
-- but only a whole number that is not too large.
local function whole(number)
  local value = number + 0 -- it may be a text
  local is_plain = value % 1 == 0 and value < 1e16 and value > -1e16
  return string.format(is_plain and '%d' or '%.0f', value)
end

-- Returns a number that Redis keeps as text; `default` where it is missing, or damaged.
local function number_of(text, default)
  return tonumber(text or '') or default
end

-- Adds to a whole number in a hash; returns the sum, nil if the number is damaged. Then it stays as it is
-- for the audit to find: stopping here would leave half of the script's writes.
local function add_to(name, field, amount)
  return tonumber(redis.pcall('HINCRBY', name, field, amount))
end

--- @nest
