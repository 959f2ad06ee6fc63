--- Give a job another priority: an absolute one, or a place relative to the line.
--- Keeps: nobody else overtakes anybody; where two neighbours leave no number between them, those
---   before or those behind, whoever are fewer, move away just far enough.
--- KEYS[1] base
--- ARGV[1] request_id
--- ARGV[2] 'priority', 'before', 'after' or 'position'
--- ARGV[3] the priority, the neighbour's request_id, or 'front' | 'back'
--- Returns the job's priority
--- Errors JOB_NOT_FOUND, NOT_WAITING, PRIORITY_EXHAUSTED
--- @include "base"
--- @include "clock"
--- @include "job"
--- @include "line"

local request_id, mode, value = ARGV[1], ARGV[2], ARGV[3]

local LIMIT = 9007199254740991 -- 2^53 - 1: beyond it a score no longer says what it means
local GAP = 1024 -- room made is made once for many: the next thousand moves there find it
local MOST = 10000 -- moves in one step: Redis does nothing else meanwhile
local queue = key('status:queued')

local job = load_job(request_id)
if not job then
  return redis.error_reply('JOB_NOT_FOUND no job has this request_id in this type')
end

local function place(member, shape, status, owner, priority)
  redis.call('ZADD', key('owner:' .. owner), priority, member)
  redis.call('ZADD', key('status:' .. status), priority, member)
  if status == 'queued' then
    redis.call('ZADD', key('shape:' .. shape), priority, member)
  end
end

local function finish(priority)
  place(job.member, job.shape, job.status, job.owner, priority)
  if job.status == 'queued' then
    refresh_head(job.shape)
  end
  redis.call('HSET', job_key(request_id), 'updated', whole(now_us()))
  record_event(request_id, job.id, 'reordered')
  if job.status == 'queued' then
    wake('grant')
  end
  return priority
end

if mode == 'priority' then
  return finish(value)
end
if job.status ~= 'queued' then
  return redis.error_reply('NOT_WAITING ' .. request_id .. ' is ' .. job.status .. ', not queued')
end

-- The entry at a rank of the line without the job itself, or nil past either end.
local own_rank = redis.call('ZRANK', queue, job.member)
local others = redis.call('ZCARD', queue) - 1
local function other(rank)
  if rank < 0 or rank >= others then
    return nil
  end
  local real = rank < own_rank and rank or rank + 1
  local entry = redis.call('ZRANGE', queue, real, real, 'WITHSCORES')
  return { member = entry[1], priority = tonumber(entry[2]) }
end

local slot -- the rank, without the job itself, that it is to have
if mode == 'position' then
  slot = value == 'front' and 0 or others
elseif value == request_id then
  return job.priority
else
  local neighbour = load_job(value)
  if not neighbour then
    return redis.error_reply('JOB_NOT_FOUND no job ' .. value .. ' to be put ' .. mode)
  end
  if neighbour.status ~= 'queued' then
    return redis.error_reply('NOT_WAITING ' .. value .. ' is ' .. neighbour.status .. ', not queued')
  end
  local rank = redis.call('ZRANK', queue, neighbour.member)
  slot = rank < own_rank and rank or rank - 1
  if mode == 'after' then
    slot = slot + 1
  end
end
if slot == own_rank then
  return job.priority
end

local left, right = other(slot - 1), other(slot)
if not left or not right then
  local edge = left and left.priority + 1 or right.priority - 1
  if math.abs(edge) > LIMIT then
    return redis.error_reply('PRIORITY_EXHAUSTED no priority is left at that end of the line')
  end
  return finish(whole(edge))
end
if right.priority - left.priority >= 2 then
  return finish(whole(math.floor(left.priority + (right.priority - left.priority) / 2)))
end

-- Adjacent: on one side everyone moves away, until a gap swallows the shift.
local function side(rank, away, neighbour)
  return { rank = rank, away = away, free = neighbour + away * 2 * GAP, moves = {} }
end

-- Looks at the next of a side; returns whether the gap is found.
local function find_gap(way)
  local entry = other(way.rank)
  if not entry or (entry.priority - way.free) * way.away >= 0 then
    return math.abs(way.free) <= LIMIT
  end
  way.moves[#way.moves + 1] = { entry.member, way.free }
  way.rank, way.free = way.rank + way.away, way.free + way.away
  return false
end

local function clear(moves)
  local shapes = {}
  for _, move in ipairs(moves) do
    local f = redis.call('HMGET', job_key(request_id_of(move[1])), 'owner', 'shape')
    if f[1] and f[2] then
      place(move[1], f[2], 'queued', f[1], whole(move[2]))
      shapes[f[2]] = true
    end
  end
  for shape in pairs(shapes) do
    refresh_head(shape)
  end
end

local behind, before = side(slot, 1, left.priority), side(slot - 1, -1, right.priority)
for _ = 0, MOST do
  if find_gap(behind) then
    clear(behind.moves)
    return finish(whole(left.priority + GAP))
  end
  if find_gap(before) then
    clear(before.moves)
    return finish(whole(right.priority - GAP))
  end
end
return redis.error_reply('PRIORITY_EXHAUSTED no priority is left there, and over ' .. MOST
  .. ' jobs on either side would have to make room; give it a priority of its own')
