--- Record why a source gave no snapshot.
--- Keeps: its last snapshot stays in force; a poller of an earlier term changes nothing.
--- KEYS[1] base
--- ARGV
---   source    string   its name
---   term      integer  term of the lock on polling it
---   cause     string   the cause in a word
---   text      string   the cause in a sentence
--- Returns
---   accepted  flag     false if a later term polls the source
--- Errors none
--- @include "base"

local record = key('source:' .. source)
local accepted = term >= number_of(redis.call('HGET', record, 'term'), 0)
if accepted then
  redis.call('HSET', record, 'cause', cause, 'text', text)
end
return reply({ accepted = accepted })
