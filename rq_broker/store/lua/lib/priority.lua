--- Other priorities for jobs that wait or have waited.
--- @include "base"
--- @include "job"
--- @include "queue"

local LIMIT = 9007199254740991 -- 2^53 - 1: beyond it a score cannot hold every whole number
local MAX_MOVES = 10000 -- jobs that one move may shift: Redis serves nobody else meanwhile

-- Keeps what the submit of a job gave as its priority, '' for none: the first reorder does, so that a
-- submit that is repeated later can be compared with it.
local function keep_submitted_priority(name, gave_one, priority)
  redis.call('HSETNX', name, 'submitted_priority', gave_one and priority or '')
end

-- Sets the priority of a job in every sorted set that has it.
local function set_priority(member, shape, status, owner, priority)
  redis.call('ZADD', key('owner:' .. owner), priority, member)
  redis.call('ZADD', key('status:' .. status), priority, member)
  if status == 'queued' then
    redis.call('ZADD', key('shape:' .. shape), priority, member)
  end
end

-- Gives queued jobs other priorities. A move has the `member`, its `priority`, and `from`, the one before.
local function apply_moves(moves)
  if #moves > 0 then
    count_shift()
  end
  local shapes = {}
  for _, move in ipairs(moves) do
    local name = job_key(request_id_of(move.member))
    local fields = redis.call('HMGET', name, 'owner', 'shape')
    local owner, shape = fields[1], fields[2]
    if owner and shape then
      if redis.call('SISMEMBER', key('own_priority'), move.member) == 1 then
        keep_submitted_priority(name, true, whole(move.from))
      end
      set_priority(move.member, shape, 'queued', owner, whole(move.priority))
      shapes[shape] = true
    end
  end
  for shape in pairs(shapes) do
    refresh_head(shape)
  end
end
