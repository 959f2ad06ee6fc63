--- The keys of this type: KEYS[1] is its base; every other key is derived from it and shares its slot.
local base = KEYS[1]

local function key(name)
  return base .. ':' .. name
end

-- Formats a whole number with all its digits; Lua's own tostring keeps 14.
local function whole(number)
  return string.format('%.0f', number)
end
