--- Beside the line: a job with the status `beside` waits for a time (`not_before`) or for other jobs (`after`),
--- and is in `status:beside` at its priority instead of in the queue: no pass reads it, it delays nobody, and it
--- joins the line at the place of its submit. Over HTTP it is `queued`, without a position.
---
--- `dependents:<member>` has the jobs that wait for a job; `after` of each lists the members that it named,
--- `left` counts those that have not ended. A job that ends with dependents is noted in `ended`, with how it ended
--- first as the score; sweeps then take its dependents off, a bounded number each, so that a chain of thousands stops
--- nobody.
--- Keeps: `left` is the number of sets `dependents:…` that have the job.
--- @include "base"
--- @include "wake"
--- @include "job"
--- @include "alarm"

local ENDS = { done = 0, error = 1, withdrawn = 2 } -- how a job ended → its score in `ended`

-- Notes that a job ended, if others wait for that.
local function note_end(member, outcome)
  if redis.call('EXISTS', key('dependents:' .. member)) == 1 then
    redis.call('ZADD', key('ended'), 'NX', ENDS[outcome], member)
    wake('sweep')
  end
end

-- Takes a job that leaves `beside` out of what it waits for.
local function leave_beside(job)
  local f = redis.call('HMGET', job_key(job.request_id), 'left', 'after')
  if f[1] then
    for member in string.gmatch(f[2] or '', '[^\n]+') do
      redis.call('ZREM', key('dependents:' .. member), job.member)
    end
    redis.call('HDEL', job_key(job.request_id), 'left')
  end
  drop_alarm(job.member)
end
