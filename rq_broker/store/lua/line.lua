--- Read the line of a type: each job near the front, and a sample of those behind.
--- Keeps: the cost grows with the logarithm of the line, and each job behind the front stands for
---   about as small a part of those before it.
--- KEYS[1] base
--- ARGV
---   exact     integer  how many jobs at the front to read one by one
---   spacing   integer  behind them one job is read of every rank / spacing jobs
--- Returns
---   total     integer  how many jobs wait
---   jobs      rows     a waiting job, in order
---     rank    integer  how many jobs go before it
---     member  string   the job
---     priority integer its priority
---     shape   string   digest of its shape
---     passed  string   when it was first passed, ms; '' if it was not, or is not near the front
---     is_own  flag     whether it has a priority of its own
---   shapes    fields   digest, and bytes of its canonical JSON, of each of these shapes
--- Errors none
--- @include "base"
--- @include "job"

local queue = key('status:queued')
local total = redis.call('ZCARD', queue)
local jobs, shapes, is_known = {}, {}, {}
local any_own = redis.call('EXISTS', key('own_priority')) == 1

local function add(rank, member, priority)
  local shape = shape_of(request_id_of(member))
  if not shape then
    return
  end
  if not is_known[shape] then
    is_known[shape] = true
    shapes[#shapes + 1] = shape
    shapes[#shapes + 1] = whole(redis.call('HSTRLEN', key('shapes'), shape))
  end
  jobs[#jobs + 1] = {
    rank = rank,
    member = member,
    priority = priority,
    shape = shape,
    passed = rank < exact and redis.call('HGET', key('passed'), member) or '',
    is_own = any_own and redis.call('SISMEMBER', key('own_priority'), member) == 1,
  }
end

-- 1. Each of the first jobs.
local front = redis.call('ZRANGE', queue, 0, exact - 1, 'WITHSCORES')
for i = 1, #front, 2 do
  add((i - 1) / 2, front[i], front[i + 1])
end

-- 2. A sample of the others.
local rank = exact
while rank < total do
  local found = redis.call('ZRANGE', queue, rank, rank, 'WITHSCORES')
  add(rank, found[1], found[2])
  rank = rank + math.max(math.floor(rank / spacing), 1)
end
return reply({ total = total, jobs = jobs, shapes = shapes })
