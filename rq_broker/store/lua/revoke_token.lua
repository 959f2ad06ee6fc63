--- Refuse every token of a name from now on.
--- Keeps: the name is free for another token.
--- KEYS[1] base
--- ARGV
---   name  string  their name
--- Returns none
--- Errors TOKEN_NOT_FOUND
--- Audit the name; how many tokens had it
--- @include "token"
--- @include "audit_log"

local ids = tokens_named(name)
if #ids == 0 then
  return redis.error_reply('TOKEN_NOT_FOUND there is no token of this name')
end
for _, id in ipairs(ids) do
  end_token(id, token_now())
end
redis.call('DEL', key('token_name:' .. name))
record_audit(actor, 'revoke_token', name, { 'tokens', #ids })
