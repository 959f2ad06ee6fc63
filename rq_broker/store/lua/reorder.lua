--- Give a job another priority: an absolute one, or one for a place in the queue.
--- Keeps: the job has a priority of its own from then on. No two other jobs change their order. Where two
---   neighbours leave no number between them, the jobs of one side move away just far enough; it is the side
---   where fewer jobs have to move. With `among_own`, see lib/own_order, no job of another owner changes its
---   place, and no job gets a priority of its own. With `line` the move does what its caller saw, or nothing.
--- KEYS[1] base
--- ARGV
---   request_id  string   the job's name
---   mode        string   'priority', 'before', 'after', 'position' or 'place'
---   value       string   the priority; the neighbour's name; 'front' or 'back'; or the place, 1 = next. A place that
---                        `line` is of is where that says
---   among_own   flag     only the places that the owner's waiting jobs have change hands
---   line        string?  version of the line, see lib/line_unchanged; with every mode but 'priority'; not given: any
---   dry_run     flag     write nothing: tell what the move would do
---   owners      strings  whose jobs the caller may name; none: anybody's
---   known       fields   the job as the caller read it, see lib/unchanged; none: in any state
--- Returns
---   priority    integer  the job's priority now
---   position    integer?  its place in the queue now, or after a dry run's move; given while it is queued
---   was         integer?  its place before; likewise
---   line        string   version of the line now; of a dry run that of the place to which it would go
---   undo        string?  version of the place that it had, to move it back there; given where `was` is, without dry_run
---   exchanges   rows     of a dry run with among_own: the jobs whose places change hands
---     member    string   the job that has the place
---     by        string   the job that would have it
--- Errors JOB_NOT_FOUND, CHANGED_MEANWHILE, NOT_WAITING, PRIORITY_EXHAUSTED, FORBIDDEN
--- Audit the request_id; priority, and whether it is the job's own. Jobs that make room have no line
--- @include "base"
--- @include "wall"
--- @include "deadline"
--- @include "queue"
--- @include "owned"
--- @include "unchanged"
--- @include "status_words"
--- @include "own_order"
--- @include "line_unchanged"
--- @include "audit_log"

local GAP = 1024 -- numbers made free at once, so that the next thousand moves to that place find one

local queue = key('status:queued')

-- 1. Find the job.
local job = load_own_job(request_id, owners)
if not job then
  return job_not_found()
end
local changed = refuse_changed(job, known)
if changed then
  return changed
end

local function record_reorder(priority, is_first)
  local before, after = audit_changes(
    { priority = tonumber(job.priority), own_priority = not is_first },
    { priority = tonumber(priority), own_priority = true })
  if #after > 0 then
    record_audit(actor, 'reorder', request_id, before, after)
  end
end

-- 2. What the answer tells of places: `stood` is where the job was, `side` of its neighbour there.
local was, stood, side

-- Answers what the move has done.
local function answer(priority)
  local rank, version = redis.call('ZRANK', queue, job.member), line_version()
  return reply({
    priority = priority, position = rank and rank + 1 or nil, was = was, line = version,
    undo = was and version_of_place(version, was, job, stood, side) or nil, exchanges = {},
  })
end

-- Answers what the move would do: it would be `beside` a neighbour at a place.
local function foretell(position, neighbour, beside, exchanges)
  local place = mode == 'place' and tonumber(value) or position
  return reply({
    priority = job.priority, position = position, was = was, exchanges = exchanges or {},
    line = version_of_place(line_version(), place, job, neighbour, beside), undo = nil,
  })
end

-- A job with a priority of its own keeps its place when owners share.
local function keep_priority(priority)
  local is_first = redis.call('SADD', key('own_priority'), job.member) == 1
  keep_submitted_priority(job_key(request_id), not is_first, job.priority)
  if is_first and job.status == 'queued' then
    wake('grant')
  end
  if actor then
    record_reorder(priority, is_first)
  end
  return answer(priority)
end

-- A job that moves may pass the place that a recount of deadlines has come to: its own is counted now.
local function recount_now()
  local name = job_key(request_id)
  if job.status == 'done' or job.status == 'error' then -- `updated` says when it ended, until here
    local ended = last_update(redis.call('HGET', name, 'updated'))
    if ended then
      redis.call('HSETNX', name, 'ended', whole(ended))
    end
  end
  recount_deadline(job.member, job.status, name)
end

local function finish(priority)
  set_priority(job.member, job.shape, job.status, job.owner, priority)
  if job.status == 'queued' then
    refresh_head(job.shape)
  else
    recount_now()
  end
  redis.call('HSET', job_key(request_id), 'updated', whole(wall_us()))
  record_event(job, job.status, 'reordered')
  if job.status == 'queued' then
    wake('grant')
  end
  return keep_priority(priority)
end

-- 3. An absolute priority can be set at once; the other modes need the queue.
if mode == 'priority' and not among_own and not dry_run then
  return finish(value)
end
local function refuse_waiting(name, status)
  local where = status == 'beside' and 'waits beside the line, not in it' or 'is ' .. status_words(status) .. ', not queued'
  return redis.error_reply('NOT_WAITING ' .. request_id_in(name) .. ' ' .. where)
end
if job.status == 'beside' and not among_own then
  return redis.error_reply('NOT_WAITING ' .. request_id_in(request_id)
    .. ' waits beside the line; give it a priority instead')
elseif job.status ~= 'queued' then
  return refuse_waiting(request_id, job.status)
end
local neighbour
if mode == 'before' or mode == 'after' then
  neighbour = value == request_id and job or load_own_job(value, owners)
  if not neighbour or (among_own and neighbour.owner ~= job.owner) then
    return redis.error_reply('JOB_NOT_FOUND no job ' .. request_id_in(value) .. ' to be put ' .. mode)
  elseif neighbour.status ~= 'queued' then
    return refuse_waiting(value, neighbour.status)
  end
end
local own_rank = redis.call('ZRANK', queue, job.member)
local others = redis.call('ZCARD', queue) - 1
was = own_rank + 1

-- Returns the entry at a rank of the queue without the job itself, or nil past either end.
local function other_at(rank)
  if rank < 0 or rank >= others then
    return nil
  end
  local real = rank < own_rank and rank or rank + 1
  local entry = redis.call('ZRANGE', queue, real, real, 'WITHSCORES')
  return { member = entry[1], priority = tonumber(entry[2]) }
end

-- Returns how many other jobs go before a priority and an ID, those of both included.
local function others_up_to(priority, id)
  local rank = rank_after(queue, priority, id)
  return own_rank < rank and rank - 1 or rank
end

-- Returns the neighbour that the job has at a rank of the queue without it, and its side of that; nil if it is alone.
local function place_at(rank)
  local behind, before = other_at(rank), other_at(rank - 1)
  return behind and behind.member or before and before.member, behind and 'b' or 'a'
end

-- The place that `line` is of is where it was then. `counted`: up to which rank any other place counts the jobs.
local seen = line and read_version(line)
local named = mode == 'place' and seen and seen.place == tonumber(value) and seen.job_id == job.id and seen
local counted = mode == 'place' and not named and math.max(tonumber(value) - 1, own_rank) or nil

-- 4. A client's job exchanges its place with others of its owner.
if among_own then
  local target, own_mode = neighbour or value, mode
  if mode == 'place' then
    local behind = not named and other_at(tonumber(value) - 1)
    target = named or behind and { priority = behind.priority, id = id_of(behind.member), side = 'b' } or 'back'
    own_mode = target == 'back' and 'position' or mode
  end
  local moves, refusal, places, order = own_moves(job, own_mode, target)
  if refusal then
    return refusal
  end
  local from, to, exchanges = 1, 1, {}
  for i, entry in ipairs(places) do
    from = entry.member == job.member and i or from
    to = order[i].member == job.member and i or to
    if entry.member ~= order[i].member then
      exchanges[#exchanges + 1] = { member = entry.member, by = order[i].member }
    end
  end
  local rank = redis.call('ZRANK', queue, places[to].member)
  refusal = line and refuse_changed_line(seen, {
    job = job, neighbour = neighbour, first = to < from and rank or own_rank + 1,
    last = to < from and own_rank - 1 or rank, owner = job.owner, counted = counted,
  })
  if refusal then
    return refusal
  elseif dry_run then
    local behind, before = order[to + 1], order[to - 1]
    return foretell(rank + 1, behind and behind.member or before and before.member, behind and 'b' or 'a', exchanges)
  end
  -- Nothing is written before this line, and nothing below it can fail.
  apply_moves(moves)
  local priority = redis.call('ZSCORE', queue, job.member)
  if #moves > 0 then
    redis.call('HSET', job_key(request_id), 'updated', whole(wall_us()))
    record_event(job, job.status, 'reordered')
    wake('grant')
    record_audit(actor, 'reorder', request_id, { 'priority', tonumber(job.priority) },
      { 'priority', tonumber(priority) })
  end
  if from ~= to then -- who has its place now
    stood, side = order[from].member, to < from and 'a' or 'b'
  end
  return answer(priority)
end

-- 5. Find the slot: the rank that the job is to have, counted without the job itself.
local slot
if mode == 'position' then
  slot = value == 'front' and 0 or others
elseif named then
  slot = others_up_to(named.priority, named.side == 'b' and named.id - 1 or named.id)
elseif mode == 'place' then
  slot = math.min(tonumber(value) - 1, others)
elseif mode == 'priority' then
  slot = others_up_to(value, tonumber(job.id))
elseif neighbour == job then
  slot = own_rank
else
  local rank = redis.call('ZRANK', queue, neighbour.member)
  slot = rank < own_rank and rank or rank - 1
  if mode == 'after' then
    slot = slot + 1
  end
end
if line then -- who goes to the back passes whoever has come meanwhile
  local is_back = mode == 'position' and value == 'back'
  local refusal = refuse_changed_line(seen, {
    job = job, neighbour = neighbour, first = math.min(slot, own_rank + 1),
    last = is_back and -1 or math.max(slot, own_rank - 1), counted = counted,
  })
  if refusal then
    return refusal
  end
end
if dry_run then
  return foretell(slot + 1, place_at(slot))
end
stood, side = place_at(own_rank)
if neighbour == job then
  return answer(job.priority)
elseif slot == own_rank then
  return keep_priority(job.priority)
end

-- 6. At an end of the queue, take the next number outward.
local left, right = other_at(slot - 1), other_at(slot)
if not left or not right then
  local priority = left and left.priority + 1 or right.priority - 1
  if math.abs(priority) > LIMIT then
    return redis.error_reply('PRIORITY_EXHAUSTED no priority is left at that end of the queue')
  end
  return finish(whole(priority))
end

-- 7. Between two neighbours with a number between them, take the middle.
if right.priority - left.priority >= 2 then
  return finish(whole(math.floor(left.priority + (right.priority - left.priority) / 2)))
end

-- 8. Otherwise make room: the jobs of one side move away, one after the other, until a gap between
-- two of them is wide enough. Both sides are walked in step, so the side with fewer moves is the first to end.
-- `direction` is 1 for the jobs behind the slot, -1 for those before it.
local function new_side(rank, direction, neighbour_priority)
  return {
    rank = rank, direction = direction, moves = {},
    next_priority = neighbour_priority + direction * 2 * GAP,
  }
end

-- Takes one more job of a side into its moves; returns true once no further job has to move.
local function is_wide_enough(side)
  local entry = other_at(side.rank)
  if not entry or (entry.priority - side.next_priority) * side.direction >= 0 then
    return math.abs(side.next_priority) <= LIMIT
  end
  side.moves[#side.moves + 1] = { member = entry.member, priority = side.next_priority, from = entry.priority }
  side.rank = side.rank + side.direction
  side.next_priority = side.next_priority + side.direction
  return false
end

local behind, before = new_side(slot, 1, left.priority), new_side(slot - 1, -1, right.priority)
for _ = 0, MAX_MOVES do
  if is_wide_enough(behind) then
    apply_moves(behind.moves)
    return finish(whole(left.priority + GAP))
  end
  if is_wide_enough(before) then
    apply_moves(before.moves)
    return finish(whole(right.priority - GAP))
  end
end
return redis.error_reply('PRIORITY_EXHAUSTED no priority is left there, and over ' .. MAX_MOVES
  .. ' jobs on either side would have to make room; give it a priority of its own')
