--- The keys of this type: KEYS[1] is its base, the rest is derived and shares its slot.
local base = KEYS[1]

local function key(name)
  return base .. ':' .. name
end

-- Numbers leave Lua as text: its own tostring keeps 14 digits only.
local function whole(number)
  return string.format('%.0f', number)
end
