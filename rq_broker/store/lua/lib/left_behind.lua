--- What an empty type leaves behind: what remains of ended jobs and of the notifiers' work.
--- @include "base"

local LEFT_BEHIND = {
  'wake', 'later', 'events', 'holding_times', 'history', 'usage', 'past_usage', 'forecasts', 'passed', 'own_priority',
  'open', 'asked', 'behind', 'failing', 'answering', 'turned', 'turn:plan', 'turn:plan:again', 'withdrawn', 'withdrawals',
  'unheld', 'imported', 'servers', 'alarms', 'ended', 'waiting', 'bytes', 'report', 'reports',
}

-- Deletes it. The base hash stays: its counters never go back, and it names the last event, so that a reader of
-- events knows whether it has read all of them.
local function delete_what_is_left()
  local last = redis.call('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)[1]
  if last then
    redis.call('HSET', base, 'last_event', last[1])
  end
  for _, step in ipairs(redis.call('ZRANGE', key('reports'), 0, -1)) do
    redis.call('DEL', key('report:' .. step))
  end
  for _, name in ipairs(LEFT_BEHIND) do
    redis.call('DEL', key(name))
  end
end
