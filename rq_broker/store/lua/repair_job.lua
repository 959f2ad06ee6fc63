--- Make every index agree with one job's hash, or forget a member that is no job.
--- Keeps: the hash is what is true. Where its status is none that there is, that of the one set which lists the job
---   is, unless it holds what a job of that set does not; a job of which neither tells it stays as it is. Run again, it changes nothing. What hosts and owners hold is not touched, see repair_type.
--- KEYS[1] base
--- ARGV
---   member    string   the job's member
---   callback  string?  digest of its callback, to enter in the index; not given: unknown
---   sets      strings  where else the member was found, without the base
--- Returns
---   repaired  flag     false if the job cannot be read
--- Errors none
--- Audit the request_id; nothing, since the job's hash stays as it is
--- @include "become"
--- @include "destination"
--- @include "digests"
--- @include "preference"
--- @include "wall"
--- @include "audit_log"

local STATUSES = { 'queued', 'beside', 'granted', 'running', 'done', 'error' }
local INDEXES = { 'deadlines', 'alarms', 'deliveries', 'prompt', 'own_priority', 'passed', 'forecasts', 'unheld' }

local request_id = request_id_of(member)
local name = job_key(request_id)

local function remove_from(set)
  redis.pcall('ZREM', key(set), member)
  redis.pcall('SREM', key(set), member)
  redis.pcall('HDEL', key(set), member)
end

-- 1. A member without a job is in no set.
local stored = redis.pcall('HMGET', name, 'id', 'status', 'owner', 'shape', 'created', 'demand', 'destination')
local id = tonumber(stored[1] or '')
if not id or member_of(stored[1], request_id) ~= member then
  for _, status in ipairs(STATUSES) do
    remove_from('status:' .. status)
  end
  for _, set in ipairs(INDEXES) do
    remove_from(set)
  end
  for _, set in ipairs(sets) do
    remove_from(set)
  end
  record_audit(actor, 'repair_job', request_id)
  return reply({ repaired = true })
end
local status, owner, shape, created = stored[2], stored[3], stored[4], stored[5]
local is_known = false
for _, each in ipairs(STATUSES) do
  is_known = is_known or each == status
end
if not is_known then -- garbage: the one set that lists the job knows its status
  local listed = {}
  for _, each in ipairs(STATUSES) do
    if redis.call('ZSCORE', key('status:' .. each), member) then
      listed[#listed + 1] = each
    end
  end
  status = listed[1]
  is_known = #listed == 1 and (HOLDS_CAPACITY[status] or redis.call('EXISTS', key('holds:' .. request_id)) == 0)
end
if not (is_known and owner and shape) then
  return reply({ repaired = false })
end
redis.call('HSET', name, 'status', status)

-- 2. Its priority is the score that any set has, else the one that a submit would have given.
local priority = redis.call('ZSCORE', key('status:' .. status), member)
for _, each in ipairs(STATUSES) do
  priority = priority or redis.call('ZSCORE', key('status:' .. each), member)
end
priority = priority or redis.call('ZSCORE', key('owner:' .. owner), member)
  or redis.call('ZSCORE', key('shape:' .. shape), member)
  or default_priority(number_of(created, EPOCH_US))

-- 3. It is in the set of its status, of its owner and, while it is queued, of its shape.
for _, each in ipairs(STATUSES) do
  if each ~= status then
    redis.call('ZREM', key('status:' .. each), member)
  end
end
redis.call('ZADD', key('status:' .. status), priority, member)
redis.call('ZADD', key('owner:' .. owner), priority, member)
if status == 'queued' then
  count_shift()
  redis.call('ZADD', key('shape:' .. shape), priority, member)
  if stored[6] then
    redis.call('HSETNX', key('shapes'), shape, stored[6])
    redis.call('HDEL', name, 'demand')
  end
else
  redis.call('ZREM', key('shape:' .. shape), member)
  redis.call('HDEL', key('passed'), member)
  redis.call('HDEL', key('forecasts'), member)
end
refresh_head(shape)
if callback then
  local index, rest = index_entry('callbacks', callback)
  redis.call('HSETNX', index, rest, request_id)
end

-- 4. Only a job that holds capacity has holds, and only a granted one a callback that is due.
if not HOLDS_CAPACITY[status] then
  forget_servers(request_id)
  redis.call('DEL', key('holds:' .. request_id), key('seen:' .. request_id), key('unheld:' .. request_id))
  redis.call('HDEL', name, unpack(HELD_FIELDS))
end
if redis.call('EXISTS', key('unheld:' .. request_id)) == 1 then
  redis.call('ZADD', key('unheld'), 'NX', whole(now_ms()), member)
else
  redis.call('ZREM', key('unheld'), member)
end
for name in string.gmatch(servers_of(request_id), '%S+') do
  if not job_of_server(name, request_id) then
    redis.call('HSET', key('servers'), name, request_id)
  end
end
local receiver = receiver_of(stored[7] or '', owner)
local is_due = redis.call('ZSCORE', key('deliveries'), member) or redis.call('ZSCORE', key('prompt'), member)
  or redis.call('ZSCORE', key('parked:' .. receiver), member)
if status ~= 'granted' then
  redis.call('ZREM', key('deliveries'), member)
  redis.call('ZREM', key('prompt'), member)
  redis.call('ZREM', key('parked:' .. receiver), member)
elseif has_no_callback(name) then
  unschedule(member)
  redis.call('ZREM', key('parked:' .. receiver), member)
elseif not is_due then
  schedule(member, false, now_ms())
  wake('deliver')
elseif redis.call('ZSCORE', key('deliveries'), member) then -- due in one place, not in two
  redis.call('ZREM', key('prompt'), member)
  redis.call('ZREM', key('parked:' .. receiver), member)
elseif redis.call('ZSCORE', key('prompt'), member) then
  redis.call('ZREM', key('parked:' .. receiver), member)
end

local at_once = redis.call('HGET', name, 'at_once')
if at_once then
  note_holding({ request_id = request_id, member = member }, HOLDS_CAPACITY[status])
end

-- 5. A job beside the line waits for what it named, as far as that has not ended, else for its time; an ended one
-- for nothing. A sweep tells it of what ended meanwhile.
local function wait_again()
  local f = redis.call('HMGET', name, 'after', 'not_before')
  local left = 0
  for awaited in string.gmatch(f[1] or '', '[^\n]+') do
    redis.call('ZADD', key('dependents:' .. awaited), 0, member)
    left = left + 1
    local other = load_job(request_id_of(awaited))
    if not other or other.member ~= awaited then
      note_end(awaited, 'withdrawn')
    elseif other.status == 'done' or other.status == 'error' then
      note_end(awaited, other.status)
    end
  end
  if left > 0 then
    redis.call('HSET', name, 'left', whole(left))
  else
    redis.call('HDEL', name, 'left')
    set_alarm(member, number_of(f[2], 0))
  end
end

if status == 'beside' then
  wait_again()
elseif status == 'done' or status == 'error' then
  drop_alarm(member)
end

local prefers_until = number_of(redis.call('HGET', name, 'prefers_until'), 0)
if status == 'queued' and prefers_until > now_ms() then
  prefer_until(member, name, prefers_until)
end

-- 6. Its time ends once, counted from now if the job does not tell since when; a job without an end has no deadline.
if not SPANS[status] then
  redis.call('ZREM', key('deadlines'), member)
elseif not redis.call('ZSCORE', key('deadlines'), member) then
  set_deadline(member, status, now_ms())
  recount_deadline(member, status, name)
end
wake('grant')
record_audit(actor, 'repair_job', request_id)
return reply({ repaired = true })
