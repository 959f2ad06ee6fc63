--- The keys that messages to receivers are signed with.
--- @include "base"

local keys_by_owner = {}

-- An owner's own keys go before those of all owners.
local function signing_keys_of(owner)
  if not keys_by_owner[owner] then
    local f = redis.call('HMGET', key('keys'), owner, '*')
    keys_by_owner[owner] = f[1] or f[2] or ''
  end
  return keys_by_owner[owner]
end
