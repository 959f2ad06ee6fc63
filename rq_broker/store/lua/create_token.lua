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
--- @include "token"

local now = token_now()
for _, id in ipairs(tokens_named(name)) do
  if (end_of_token(id) or 0) > now then
    return redis.error_reply('CONFLICT there is a token of this name: rotate it, or revoke it before')
  end
end
local expires = lifetime and now + lifetime
keep_token(token, name, record, expires)
name_tokens(name, { token }, expires)
