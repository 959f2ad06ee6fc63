--- Read which jobs the index gives callbacks to.
--- Keeps: nothing is written.
--- KEYS[1] base
--- ARGV
---   digests      strings  digests of callbacks
--- Returns
---   request_ids  strings  the job of each, '' for none
--- Errors none
--- @include "base"

local request_ids = {}
for i, digest in ipairs(digests) do
  local found = redis.pcall('HGET', key('callbacks:' .. string.sub(digest, 1, 2)), string.sub(digest, 3))
  request_ids[i] = found and not found.err and found or ''
end
return reply({ request_ids = request_ids })
