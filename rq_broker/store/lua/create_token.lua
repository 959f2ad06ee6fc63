--- Keep what a new token proves.
--- Keeps: one name stands for one token that is not revoked and has not expired.
--- KEYS[1] base
--- ARGV
---   token     string    its id: the first 32 hex digits of its SHA-256
---   name      string    its name
---   lifetime  integer?  ms until it expires; it does not if not given
---   record    fields    its other fields: digest, role, and perhaps owners, types and callback_hosts
--- Returns none
--- Errors CONFLICT
--- Audit the name; what the token proves, and when it expires, seconds since 1970
--- @include "token"
--- @include "audit_log"

local now = token_now()
for _, id in ipairs(tokens_named(name)) do
  if (end_of_token(id) or 0) > now then
    return redis.error_reply('CONFLICT there is a token of this name: rotate it, or revoke it before')
  end
end
local expires = lifetime and now + lifetime
keep_token(token, name, record, expires)
name_tokens(name, { token }, expires)
local proves = {}
for i = 1, #record, 2 do
  if record[i] ~= 'digest' then
    proves[#proves + 1] = record[i]
    proves[#proves + 1] = record[i + 1]
  end
end
if expires then
  proves[#proves + 1] = 'expires'
  proves[#proves + 1] = expires / 1000
end
record_audit(actor, 'create_token', name, nil, proves)
