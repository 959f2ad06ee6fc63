--- The collections among the arguments: each is its count, then its values, see contracts.py.
local last_argument = 0 -- index of the argument read last

local function next_string()
  last_argument = last_argument + 1
  return ARGV[last_argument]
end

local function next_optional()
  local text = next_string()
  return text ~= '' and text or nil
end

local function next_integer()
  return tonumber(next_string() or '')
end

-- A count that is missing reads as 0: the check behind the arguments then finds too few of them.
local function next_count()
  return next_integer() or 0
end

local function next_flag()
  return next_string() == '1'
end

local function next_values(count)
  local values = {}
  for i = 1, count do
    values[i] = ARGV[last_argument + i]
  end
  last_argument = last_argument + count
  return values
end

local function next_strings()
  return next_values(next_count())
end

local function next_integers()
  local values = next_strings()
  for i = 1, #values do
    values[i] = tonumber(values[i])
  end
  return values
end

local function next_fields()
  return next_values(2 * next_count())
end

local function next_amounts()
  local amounts = {}
  for _ = 1, next_count() do
    local name = next_string() or ''
    amounts[name] = next_integer()
  end
  return amounts
end
