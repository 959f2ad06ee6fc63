--- Read what the jobs in the set of an owner take, some of them at a time.
--- Keeps: nothing is written; the cost does not depend on how many jobs the owner has.
--- KEYS[1] base
--- ARGV
---   owner      string   the owner
---   cursor     string   that of the reply before; '0' to begin
---   count      integer  jobs to read, about
--- Returns
---   cursor     string   '0' once all were read
---   waiting    integer  how many of the jobs wait
---   bytes      decimal  what the jobs take
---   unlisted   strings  members that the status of their job does not list
--- Errors none
--- @include "base"
--- @include "job"

local page = redis.pcall('ZSCAN', key('owner:' .. owner), cursor, 'COUNT', whole(count))
if page.err then
  page = { '0', {} }
end
local waiting, bytes, unlisted = 0, 0, {}
for i = 1, #page[2], 2 do
  local member = page[2][i]
  local f = redis.pcall('HMGET', job_key(request_id_of(member)), 'status', 'owner', 'bytes')
  local status, size = f[1] or '', f[3] or ''
  if f[2] == owner and string.find(size, '^%d+$') then
    bytes = bytes + tonumber(size)
    waiting = waiting + ((status == 'queued' or status == 'beside') and 1 or 0)
  end
  local score = redis.pcall('ZSCORE', key('status:' .. status), member)
  if not score or score.err then
    unlisted[#unlisted + 1] = member
  end
end
return reply({ cursor = page[1], waiting = waiting, bytes = whole(bytes), unlisted = unlisted })
