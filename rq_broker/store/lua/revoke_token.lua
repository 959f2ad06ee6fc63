--- Refuse every token of a name from now on.
--- Keeps: the name is free for another token.
--- KEYS[1] base
--- ARGV
---   name  string  their name
--- Returns none
--- Errors TOKEN_NOT_FOUND
--- @include "token"

local ids = tokens_named(name)
if #ids == 0 then
  return redis.error_reply('TOKEN_NOT_FOUND there is no token of this name')
end
for _, id in ipairs(ids) do
  end_token(id, token_now())
end
redis.call('DEL', key('token_name:' .. name))
