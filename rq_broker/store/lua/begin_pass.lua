--- Take the lock on planning a type, and read what an admission pass begins with.
--- Keeps: the lock is taken before anything is read, so a change that comes too late for this pass is told to
---   the next. Where no job waits, the lock is given back in the same instant.
--- KEYS[1] base
--- ARGV
---   holder      string   the process that asks
---   dead        string?  `seen` of an earlier reply, if its holder is taken for dead
---   epoch       string?  epoch of an earlier reply of this script or of type_state
---   number      decimal  its change number, or 0
---   with_usage  flag     read what each owner holds as well
---   limit       integer  how many shapes to read
---   jobs        integer  how many jobs to read of each shape, at most
---   earliest    integer  if not all shapes fit: read the shapes of this many first jobs besides
---   with_own    flag     tell which jobs have a priority of their own
--- Returns
---   begun       flag     whether the process holds the lock, and has something to plan
---   seen        string?  the lock as another process holds it, see turn
---   now         integer  the type's time, ms
---   total       integer  how many shapes wait in all
---   epoch       string   with another epoch, numbers start again
---   number      decimal  number of the last change
---   is_whole    flag     all hosts follow, not only changed ones
---   settings    fields   the base hash: the policy and its number, the promises, and what is kept
---   usage       fields   <resource>/<owner> and amount; empty unless asked for
---   past_usage  fields   <resource>/<owner>, and its average and when that was, ms; the same
---   closed      strings  receivers that take no grants now
---   asked       fields   those of them that asked for time, and until when, ms
---   tried       fields   those of them that do not answer, and when the next callback is tried, ms
---   failing     strings  destinations that take no grants of any owner, in an outage on the broker's side
---   behind      strings  receivers where too many callbacks wait for another grant
---   hosts       rows     changed hosts
---     host      string   its name
---     fields    fields   its hash
---   shapes      rows     a waiting shape
---     shape   string   its digest
---     size    integer  bytes of what it stands for in `shapes`, canonical JSON; 0 if it is missing
---     count   integer  how many of its jobs wait
---     heads   fields   its first jobs: member, priority, ...
---     own     strings  those of them with a priority of their own; none unless asked for
---     passed  fields   when the first of all and the first of these were first passed: member, ms
--- Errors none
--- @include "turn"
--- @include "capacity_state"
--- @include "shape_heads"

-- 1. Ask for the lock.
local own, other = ask_for_turn('plan', holder, dead)
if own then
  begin_round('plan')
end

-- 2. Without it there is nothing to plan, and without a job that waits; what was promised to jobs is yet to be taken back.
local function has_notes()
  local notes = redis.call('HMGET', base, 'promises', 'kept')
  return (notes[1] or '') ~= '' or (notes[2] or '') ~= ''
end
local is_idle = own and redis.call('EXISTS', key('heads')) == 0 and not has_notes()
if is_idle then
  redis.call('DEL', lock_key('plan'))
end
if not own or is_idle then
  return reply({
    begun = false,
    seen = other,
    now = now_ms(),
    epoch = '',
    number = 0,
    is_whole = false,
    settings = own and redis.call('HGETALL', base) or {},
    usage = {},
    past_usage = {},
    closed = {},
    asked = {},
    tried = {},
    failing = {},
    behind = {},
    hosts = {},
    total = 0,
    shapes = {},
  })
end
hold_turn('plan', holder, own)

-- 3. Read hosts, policy and the front of the queue.
local state = read_capacity(epoch, number, with_usage)
local read, total = read_heads(0, limit, jobs, earliest, with_own)
return reply({
  begun = true,
  seen = nil,
  now = now_ms(),
  epoch = state.epoch,
  number = state.number,
  is_whole = state.is_whole,
  settings = state.settings,
  usage = state.usage,
  past_usage = state.past_usage,
  closed = state.closed,
  asked = state.asked,
  tried = state.tried,
  failing = state.failing,
  behind = state.behind,
  hosts = state.hosts,
  total = total,
  shapes = read,
})
