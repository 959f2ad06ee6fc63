--- Tokens of the installation: a record each, by the token's id, and for each name the ids of its tokens
--- that nobody revoked, the newest first. Times are ms by the wall clock.
--- @include "base"
--- @include "batches"
--- @include "wall"

local KEPT_MS = 2592000000 -- 30 days: so long is a token that has ended told from one that never was

local function token_now()
  return math.floor(wall_us() / 1000)
end

-- Returns the ids of the tokens with a name that were not revoked, the newest first.
local function tokens_named(name)
  local ids = {}
  for id in string.gmatch(redis.call('GET', key('token_name:' .. name)) or '', '%S+') do
    ids[#ids + 1] = id
  end
  return ids
end

-- Returns when a token is refused from on, math.huge for never, nil if there is no such token.
local function end_of_token(id)
  local stored = redis.call('HMGET', key('token:' .. id), 'name', 'expires', 'ended')
  if stored[1] then
    return math.min(number_of(stored[2], math.huge), number_of(stored[3], math.huge))
  end
end

local function keep_token(id, name, fields, expires)
  local record_key = key('token:' .. id)
  redis.call('HSET', record_key, 'name', name, 'created', whole(token_now()))
  set_fields(record_key, fields)
  redis.call('ZREMRANGEBYSCORE', key('tokens'), '-inf', whole(token_now()))
  if expires then
    redis.call('HSET', record_key, 'expires', whole(expires))
    redis.call('PEXPIRE', record_key, whole(expires + KEPT_MS - token_now()))
    redis.call('ZADD', key('tokens'), whole(expires + KEPT_MS), id)
  else
    redis.call('ZADD', key('tokens'), '+inf', id)
  end
end

-- Names tokens, and forgets the name once the newest has ended for long.
local function name_tokens(name, ids, expires)
  local name_key = key('token_name:' .. name)
  redis.call('SET', name_key, table.concat(ids, ' '))
  if expires then
    redis.call('PEXPIRE', name_key, whole(expires + KEPT_MS - token_now()))
  end
end

-- Lets a token be refused from a time on, unless it already is before that.
local function end_token(id, moment)
  local ends = end_of_token(id)
  if ends and moment < ends then
    local record_key = key('token:' .. id)
    redis.call('HSET', record_key, 'ended', whole(moment))
    redis.call('PEXPIRE', record_key, whole(moment + KEPT_MS - token_now()))
    redis.call('ZADD', key('tokens'), whole(moment + KEPT_MS), id)
  end
end
