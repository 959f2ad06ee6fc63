--- What owners used: `past_usage` has, by <resource>/<owner>, what the owner held on average, and since
--- when it holds what it holds now. While an owner holds h for t, its average a becomes
--- h + (a - h) * 0.5 ^ (t / half-life); so the average is written only when what it holds changes.
--- Keeps: an owner without an entry used what it holds now. Written only while the policy shares.
--- @include "base"
--- @include "clock"
--- @include "policy"

local FADED = 20 -- half-lives after which an owner that holds nothing used nothing: a millionth is left
local SAMPLE = 4 -- entries tried per new one: a quarter of all may be faded, and no more

local half_life -- ms
local is_averaged = {} -- field → true: this script brought it up to date

local function read_half_life()
  local seconds = string.match(policy_value('share'), '^{"by":"owner","half_life":([^,}]+)')
  half_life = (tonumber(seconds or '') or DEFAULT_HALF_LIFE) * 1000
end

local function parse_average(text)
  local average, since = string.match(text or '', '^(%S+) (%d+)$')
  return tonumber(average or ''), number_of(since, 0)
end

-- Deletes some of the entries of owners that hold nothing and whose average has faded.
local function forget_faded(now)
  local entries = redis.call('HRANDFIELD', key('past_usage'), SAMPLE, 'WITHVALUES')
  for i = 1, #entries, 2 do
    local _, since = parse_average(entries[i + 1])
    if since + FADED * half_life < now and redis.call('HEXISTS', key('usage'), entries[i]) == 0 then
      redis.call('HDEL', key('past_usage'), entries[i])
    end
  end
end

-- Brings an owner's average of a resource up to date, before what it holds changes.
local function average_until_now(field)
  if is_averaged[field] or policy_value('share') == '' then
    return
  end
  is_averaged[field] = true
  if not half_life then
    read_half_life()
  end
  local now, held = now_ms(), number_of(redis.call('HGET', key('usage'), field), 0)
  local average, since = parse_average(redis.call('HGET', key('past_usage'), field))
  local is_new = not average
  if is_new then
    average = held
  else
    average = held + (average - held) * 0.5 ^ (math.max(now - since, 0) / half_life)
  end
  redis.call('HSET', key('past_usage'), field, string.format('%.9g %.0f', average, now))
  if is_new then
    forget_faded(now)
  end
end
