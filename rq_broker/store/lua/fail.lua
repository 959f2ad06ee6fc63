--- Say why a source gave no snapshot.
--- Keeps: what it saw last stays as it is; a poller of an earlier term is not heard.
--- KEYS[1] base
--- ARGV[1] source
--- ARGV[2] term of the turn to poll it
--- ARGV[3] the cause in a word
--- ARGV[4] the cause in a sentence
--- Returns 1 when heard, else 0
--- Errors none
--- @include "base"

local source, term, cause, text = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local record = key('source:' .. source)
if term < tonumber(redis.call('HGET', record, 'term') or '0') then
  return 0
end
redis.call('HSET', record, 'cause', cause, 'text', text)
return 1
