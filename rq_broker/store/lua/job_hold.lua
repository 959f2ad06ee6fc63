--- Read what has become of one job's grant.
--- Keeps: all of it is of one instant.
--- KEYS[1] base
--- ARGV
---   request_id  string    the job's name
---   owners      strings   whose job the caller may name; none: anybody's
--- Returns
---   now         integer   the time, ms
---   status      string    its status
---   hosts       string    the host of each instance, a JSON array; '' if it holds no grant
---   servers     string    the servers it runs as, separated by spaces
---   unseen      string    those of them that no snapshot has shown since they were named
---   named       decimal?  when it last named a server, ms
---   since       decimal?  since when it runs, or when its client last renewed that, ms
---   expected    decimal?  how long it says it holds, ms
---   missed_by   string?   a source that did not show one of `unseen` in time
---   hold_lost   decimal?  when it was told that some is unheld, ms; not given if it was not
---   callback    rows      the callback of a granted job that failed, one row; none if it did not
---     destination  string   where it goes: scheme://host:port
---     attempts     integer  how often it failed
---     cause        string   why, the last time, in a word
---     next_try     integer  when it is tried again, ms; 0 while it is being tried
---   held        fields    <host>/<resource> and the amount that is held
---   seen        fields    the same of what a source counts as used instead
---   unheld      fields    the same of what is neither held nor used
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "clock"
--- @include "hold"
--- @include "owned"
--- @include "destination"

local job = load_own_job(request_id, owners)
if not job then
  return job_not_found()
end

-- Returns the cause of the last attempt of this grant that failed, nil if none is known.
local function last_cause()
  for _, entry in ipairs(redis.pcall('XREVRANGE', key('attempts:' .. request_id), '+', '-', 'COUNT', 1)) do
    local fields = {}
    for i = 1, #entry[2], 2 do
      fields[entry[2][i]] = entry[2][i + 1]
    end
    return fields.fence == job.fence and fields.cause or nil
  end
  return nil
end

-- Returns when the callback is tried again, ms; 0 while it is being tried.
local function next_try(is_settled)
  if not is_settled then
    return 0
  end
  local due = redis.call('ZSCORE', key('prompt'), job.member) or redis.call('ZSCORE', key('deliveries'), job.member)
  local record = read_receiver(job.receiver)
  return math.max(number_of(due, 0), record.open_until, record.asked_until)
end

-- Those that were handed back untried do not count.
local function failed_callback()
  local is_settled = job.settled == whole(job.attempts)
  local untried = number_of(redis.call('HGET', job_key(request_id), 'released'), 0) + (is_settled and 0 or 1)
  local attempts = job.attempts - untried
  local cause = job.status == 'granted' and attempts > 0 and last_cause()
  if not cause then
    return {}
  end
  return {
    { destination = job.destination, attempts = attempts, cause = cause, next_try = next_try(is_settled) },
  }
end

local f = redis.call('HMGET', job_key(request_id), 'status', 'hosts', 'servers', 'unseen', 'named', 'missed_by',
  'hold_lost', 'running_since', 'renewed', 'expected')
return reply({
  now = now_ms(),
  status = f[1],
  hosts = f[2] or '',
  servers = f[3] or '',
  unseen = f[4] or '',
  named = f[5],
  since = f[9] or f[8],
  expected = f[10],
  missed_by = f[6],
  held = (amounts_of(key('holds:' .. request_id))),
  seen = (amounts_of(key('seen:' .. request_id))),
  unheld = (amounts_of(key('unheld:' .. request_id))),
  hold_lost = f[7],
  callback = failed_callback(),
})
