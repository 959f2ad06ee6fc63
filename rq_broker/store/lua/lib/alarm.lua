--- Alarms: `alarms` has the times at which a sweep does something to a job because of the job's own terms.
--- What it does follows from the job's status then:
---   beside   the job joins the line: its `not_before` has come
---   queued   the job gives up: it was in the line for `give_up_after`
---   running  readers of events are told that its running time ends soon, see `hold_at_most`
--- Notifiers before version 3 of the contract do not know the set, and leave it alone.
--- @include "base"
--- @include "clock"
--- @include "wake"

local NOTICE_SHARE = 10 -- the notice comes a tenth of the running time before its end

local function set_alarm(member, when)
  set_due('alarms', when, member, 'sweep')
  if when <= now_ms() then
    wake('sweep')
  end
end

local function drop_alarm(member)
  redis.call('ZREM', key('alarms'), member)
end

-- Sets the alarm of a running job for the notice before `ends`.
local function set_notice(member, ends, span)
  set_alarm(member, ends - math.floor(span / NOTICE_SHARE))
end
