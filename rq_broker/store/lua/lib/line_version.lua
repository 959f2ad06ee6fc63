--- The version of the line: the waiting jobs and their order as a caller saw them. No write has to count it. It is
--- the ID of the type's newest event, of which each job that enters or leaves the line has one; and `shifts` of the
--- base hash, which counts the moves that gave other jobs a priority or a place without an event of theirs.
---
--- As text it is `<event>.<shifts>`. The version of a place goes on with `.<place>.<ID>.<side>.<priority>.<ID>`: the
--- job with the first ID is to stand at this place, which is before (b) or after (a) that priority and second ID.
--- So the place is the same one later too, whatever has left the line before it.
--- @include "base"
--- @include "job"
--- @include "rank"

local function line_version()
  local newest = redis.pcall('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)[1]
  return (newest and newest[1] or '0-0') .. '.' .. (redis.call('HGET', base, 'shifts') or '0')
end

-- Returns the version of a place of a job. `neighbour`: the `member` of the job that is `side` of it, nil for none.
local function version_of_place(version, place, job, neighbour, side)
  local priority = neighbour and redis.call('ZSCORE', key('status:queued'), neighbour)
  if not priority then
    return version
  end
  return table.concat({ version, whole(place), job.id, side, whole(tonumber(priority)), whole(id_of(neighbour)) }, '.')
end

-- Returns what a version says, nil for a text that is none.
local function read_version(text)
  local event, shifts, rest = string.match(text, '^(%d+%-%d+)%.(%d+)(.*)$')
  if not event then
    return nil
  end
  local place, job_id, side, priority, id = string.match(rest, '^%.(%d+)%.(%d+)%.([ab])%.(%-?%d+)%.(%d+)$')
  return {
    event = event, shifts = shifts, place = tonumber(place or ''), job_id = job_id,
    side = side, priority = priority, id = tonumber(id or ''),
  }
end
