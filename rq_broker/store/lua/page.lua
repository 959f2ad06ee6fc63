--- List jobs in priority order, one page at a time.
--- Keeps: a job that keeps its place is listed exactly once, whatever moves around it.
--- KEYS[1] base
--- ARGV[1] owner_id, or '' for every owner
--- ARGV[2] status, or '' for every status
--- ARGV[3] priority of the last job seen, or '' to begin
--- ARGV[4] ID of the last job seen
--- ARGV[5] how many jobs to look at, at most 500
--- Returns {priority and ID of the last job looked at, both '' at the end, {priority, request_id,
---   position or '', field, value, …} a job}
--- Errors none
--- @include "base"
--- @include "job"

local owner_id, status, from, from_id = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local limit = tonumber(ARGV[5])

local STATUSES = { 'queued', 'granted', 'running', 'done', 'error' }

local function id_of(member)
  return tonumber(string.sub(member, 1, 16))
end

-- Rank of the first entry after (priority, ID): by score, then by halving among the ties.
local function rank_after(set)
  if from == '' then
    return 0
  end
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. from)
  local high = redis.call('ZCOUNT', set, '-inf', from)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if id_of(redis.call('ZRANGE', set, middle, middle)[1]) <= from_id then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local sources = {}
if owner_id ~= '' then
  sources = { 'owner:' .. owner_id }
elseif status ~= '' then
  sources = { 'status:' .. status }
else
  for _, each in ipairs(STATUSES) do
    sources[#sources + 1] = 'status:' .. each
  end
end

local found = {}
for _, source in ipairs(sources) do
  local set = key(source)
  local rank = rank_after(set)
  local slice = redis.call('ZRANGE', set, rank, rank + limit - 1, 'WITHSCORES')
  for i = 1, #slice, 2 do
    found[#found + 1] = {
      member = slice[i], id = id_of(slice[i]), text = slice[i + 1], priority = tonumber(slice[i + 1]),
      position = source == 'status:queued' and rank + (i + 1) / 2,
    }
  end
end
table.sort(found, function(a, b)
  if a.priority == b.priority then
    return a.id < b.id
  end
  return a.priority < b.priority
end)

local reply = { '', '' }
for i = 1, math.min(limit, #found) do
  local entry = found[i]
  local request_id = request_id_of(entry.member)
  local fields = redis.call('HGETALL', job_key(request_id))
  local kept = status == ''
  for f = 1, #fields, 2 do
    if fields[f] == 'status' then
      kept = kept or fields[f + 1] == status
      if fields[f + 1] == 'queued' and not entry.position then
        entry.position = redis.call('ZRANK', key('status:queued'), entry.member) + 1
      end
    end
  end
  if kept and #fields > 0 then
    table.insert(fields, 1, entry.position and whole(entry.position) or '')
    table.insert(fields, 1, request_id)
    table.insert(fields, 1, entry.text)
    reply[#reply + 1] = fields
  end
  if i == limit then
    reply[1], reply[2] = entry.text, whole(entry.id)
  end
end
return reply
