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
---   held        fields    <host>/<resource> and the amount that is held
---   seen        fields    the same of what a source counts as used instead
---   unheld      fields    the same of what is neither held nor used
--- Errors JOB_NOT_FOUND
--- @include "base"
--- @include "clock"
--- @include "hold"
--- @include "owned"

if not load_own_job(request_id, owners) then
  return job_not_found()
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
})
