--- Places in a sorted set of members whose scores are priorities.

local function id_of(member)
  return tonumber(string.sub(member, 1, 16))
end

-- Returns the rank of the first entry after those of a lower priority, and those of this priority for which
-- `is_before` returns true: these are the first ones of the priority, so a bisection finds their end.
local function rank_behind(set, priority, is_before)
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. priority)
  local high = redis.call('ZCOUNT', set, '-inf', priority)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(redis.call('ZRANGE', set, middle, middle)[1]) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Returns the rank of the first entry after a priority and an ID; entries of equal priority are ordered by ID.
local function rank_after(set, priority, id)
  return rank_behind(set, priority, function(member)
    return id_of(member) <= id
  end)
end
