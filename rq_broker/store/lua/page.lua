--- List jobs in priority order, one page at a time.
--- Keeps: a job that keeps its place is listed exactly once, whatever moves around it.
--- KEYS[1] base
--- ARGV
---   status          string?   list jobs of this status only
---   after_priority  decimal?  priority of the last job of the page before; not given at the start
---   after_id        decimal?  ID of that job
---   first_position  integer?  with a status and no owner: begin at this place of its jobs, 1 = next, or behind that
---                             job, and leave out those beside the line; not given: at the start, or behind that job
---   limit           integer   how many jobs to read, at most 500; filters and large jobs leave fewer
---   contains        string?   list only jobs whose request_id has this text, in any case of A to Z
---   owners          strings   list jobs of these owners only; none: of every owner
--- Returns
---   next_priority   decimal?  priority of the last job read, not given at the end
---   next_id         decimal?  ID of that job
---   count           integer?  how many jobs have a place among these; given with first_position
---   clock_offset    integer   ms by which the type's clock is ahead of the wall clock
---   line            string?   version of the line, see lib/line_version; given with the status `queued`
---   jobs            rows      the jobs
---     priority      decimal   its priority
---     request_id    string    the client's name for it
---     position      integer?  its place in the queue, 1 = next; given while it is queued
---     fields        fields    the job hash
--- Errors none
--- @include "base"
--- @include "job"
--- @include "rank"
--- @include "line_version"

-- Bytes of jobs after which no further is read: with 500 jobs of 1 MiB Redis would serve nobody else
-- for a second.
local MOST_BYTES = 262144
-- Names that one call compares with `contains`. It takes Redis 2 ms; with more, others wait longer.
local MOST_NAMES = 5000
local STATUSES = { 'queued', 'beside', 'granted', 'running', 'done', 'error' }

local function entry_of(slice, i, position)
  return {
    member = slice[i],
    id = id_of(slice[i]),
    priority_text = slice[i + 1],
    priority = tonumber(slice[i + 1]),
    position = position,
  }
end

-- Returns whether the request_id of a member has a text in lower case.
local function has_text(member, text)
  local request_id = string.match(request_id_of(member), '[^/]*$')
  return string.find(string.lower(request_id), text, 1, true) ~= nil
end

local function is_earlier(a, b)
  if a.priority == b.priority then
    return a.id < b.id
  end
  return a.priority < b.priority
end

-- 1. Choose the sorted sets that have all jobs to list: the owner's, the status's, or every status's.
local names = {}
if #owners > 0 then
  for i, owner in ipairs(owners) do
    names[i] = 'owner:' .. owner
  end
elseif status then
  names = { 'status:' .. status, status == 'queued' and not first_position and 'status:beside' or nil }
else
  for _, name in ipairs(STATUSES) do
    names[#names + 1] = 'status:' .. name
  end
end

-- 2. Read the next entries of each set, and of these leave out names without the text. What stands behind the
-- last entry that was read of some set is for a later page.
local wanted = contains and string.lower(contains)
local window = contains and math.max(1, math.floor(MOST_NAMES / #names)) or limit
local entries = {}
local bound
for _, name in ipairs(names) do
  local set = key(name)
  local rank = first_position and first_position - 1 or 0
  if after_priority then
    rank = rank_after(set, after_priority, tonumber(after_id))
  end
  local slice = redis.call('ZRANGE', set, rank, rank + window - 1, 'WITHSCORES')
  for i = 1, #slice, 2 do
    if not wanted or has_text(slice[i], wanted) then
      entries[#entries + 1] = entry_of(slice, i, name == 'status:queued' and rank + (i + 1) / 2 or nil)
    end
  end
  if #slice == 2 * window then
    local last = entry_of(slice, #slice - 1)
    if not bound or is_earlier(last, bound) then
      bound = last
    end
  end
end

-- 3. Merge them in the order of the queue.
table.sort(entries, is_earlier)

-- 4. Read the jobs of the first `limit`, and keep those of the status asked for.
local jobs, bytes, read = {}, 0, 0
for i = 1, math.min(limit, #entries) do
  if bytes >= MOST_BYTES or (bound and is_earlier(bound, entries[i])) then
    break
  end
  read = i
  local entry = entries[i]
  local request_id = request_id_of(entry.member)
  local fields = redis.pcall('HGETALL', job_key(request_id))
  local job_status, is_beside
  for f = 1, #fields, 2 do
    bytes = bytes + #fields[f + 1]
    if fields[f] == 'status' then
      is_beside = fields[f + 1] == 'beside'
      job_status = is_beside and 'queued' or fields[f + 1]
    end
  end
  if #fields > 0 and (not status or job_status == status) then
    if job_status == 'queued' and not is_beside and not entry.position then
      entry.position = redis.call('ZRANK', key('status:queued'), entry.member) + 1
    end
    jobs[#jobs + 1] = {
      priority = entry.priority_text,
      request_id = request_id,
      position = entry.position,
      fields = fields,
    }
  end
end
local last = bound
if read < #entries and (read == limit or bytes >= MOST_BYTES) then
  last = entries[read]
end
return reply({
  next_priority = last and last.priority_text or nil,
  next_id = last and whole(last.id) or nil,
  count = first_position and redis.call('ZCARD', key(names[1])) or nil,
  clock_offset = number_of(redis.call('HGET', base, 'clock_offset'), 0),
  line = status == 'queued' and line_version() or nil,
  jobs = jobs,
})
