--- Commands with any number of values. Lua's `unpack` fails near 8,000 values, and the script's earlier
--- writes stay; so each command gets at most BATCH.

local BATCH = 500 -- even: field and value, score and member go together

-- `from`: where in `flat` to begin, 1 if not given.
local function set_fields(name, flat, from)
  for first = from or 1, #flat, BATCH do
    redis.call('HSET', name, unpack(flat, first, math.min(first + BATCH - 1, #flat)))
  end
end

local function delete_fields(name, fields)
  for first = 1, #fields, BATCH do
    redis.call('HDEL', name, unpack(fields, first, math.min(first + BATCH - 1, #fields)))
  end
end

local function add_members(name, flat)
  for first = 1, #flat, BATCH do
    redis.call('ZADD', name, unpack(flat, first, math.min(first + BATCH - 1, #flat)))
  end
end

-- Adds members with one score.
local function add_at(name, score, members)
  local flat = {}
  for i, member in ipairs(members) do
    flat[2 * i - 1], flat[2 * i] = score, member
  end
  add_members(name, flat)
end

local function remove_members(name, members)
  for first = 1, #members, BATCH do
    redis.call('ZREM', name, unpack(members, first, math.min(first + BATCH - 1, #members)))
  end
end
