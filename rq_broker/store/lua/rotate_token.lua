--- Replace a token by a new one that proves the same.
--- Keeps: what the token proves stays as it is; older tokens of the name are refused after the overlap.
--- KEYS[1] base
--- ARGV
---   name      string    the name of both
---   token     string    id of the new one: the first 32 hex digits of its SHA-256
---   digest    string    the SHA-256 of the new one, hex
---   lifetime  integer?  ms until the new one expires; as long as the old one lived if not given
---   overlap   integer   ms for which the old one is still accepted
--- Returns none
--- Errors TOKEN_NOT_FOUND
--- Audit the name; when the newest token expires, seconds since 1970
--- @include "token"
--- @include "audit_log"

local ids = tokens_named(name)
local old = ids[1] and redis.call('HGETALL', key('token:' .. ids[1])) or {}
if #old == 0 then
  return redis.error_reply('TOKEN_NOT_FOUND there is no token of this name')
end

-- 1. Copy what the newest one proves.
local now = token_now()
local times = {}
local record = { 'digest', digest }
for i = 1, #old, 2 do
  local field, value = old[i], old[i + 1]
  if field == 'created' or field == 'expires' then
    times[field] = number_of(value, nil)
  elseif field ~= 'name' and field ~= 'digest' and field ~= 'ended' then
    record[#record + 1] = field
    record[#record + 1] = value
  end
end
if not lifetime and times.created and times.expires then
  lifetime = times.expires - times.created
end

-- 2. Keep the new one, and let the others end.
local expires = lifetime and now + lifetime
keep_token(token, name, record, expires)
local named = { token }
for _, id in ipairs(ids) do
  end_token(id, now + overlap)
  if (end_of_token(id) or 0) > now then
    named[#named + 1] = id
  end
end
name_tokens(name, named, expires)
record_audit(actor, 'rotate_token', name, times.expires and { 'expires', times.expires / 1000 } or {},
  expires and { 'expires', expires / 1000 } or {})
