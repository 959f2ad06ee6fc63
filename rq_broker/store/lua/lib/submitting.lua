--- What submit and submit_array refuse alike. Each returns the refusal, nil if there is none.
--- @include "base"
--- @include "owned"

-- `used_by`: the name of the job, or of the array as a whole, that the idempotency key has submitted, or nil.
local function refuse_used_key(used_by)
  if used_by then
    return redis.error_reply('IDEMPOTENCY_KEY_REUSED the Idempotency-Key was used for job ' .. request_id_in(used_by))
  end
end

-- `kinds`: how many amounts the demand lists; `most`: the policy's most_kinds.
local function refuse_kinds(kinds, most)
  if kinds > most then
    return redis.error_reply('TOO_MANY_KINDS data.instances lists ' .. kinds
      .. " amounts, those of equal instances once; the policy's most_kinds is " .. most)
  end
end

local function refuse_damaged_counter()
  return redis.error_reply('ERR the counter of IDs is damaged; rq-broker audit --repair mends it')
end
