--- Places in a sorted set of members whose scores are priorities.

local function id_of(member)
  return tonumber(string.sub(member, 1, 16))
end

-- Returns the rank of the first entry after a priority and an ID. Among entries of equal priority this is a
-- bisection, as these are ordered by ID.
local function rank_after(set, priority, id)
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. priority)
  local high = redis.call('ZCOUNT', set, '-inf', priority)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if id_of(redis.call('ZRANGE', set, middle, middle)[1]) <= id then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
