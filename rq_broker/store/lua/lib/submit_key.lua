--- The idempotency key of a submit: the hash of what was submitted has its digest, and the index what that is.
--- @include "base"
--- @include "digests"

-- `name`: of the hash; `submitted`: the job, or the array as a whole; `digest`: nil without a key.
local function keep_submit_key(name, submitted, digest)
  if digest then
    local index, rest = index_entry('submit_keys', digest)
    redis.call('HSET', name, 'submit_key', digest)
    redis.call('HSET', index, rest, submitted)
  end
end

local function drop_submit_key(name, submitted)
  local digest = redis.call('HGET', name, 'submit_key')
  if digest then
    drop_index_entry('submit_keys', digest, submitted)
  end
end
