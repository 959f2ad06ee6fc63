--- Whether somebody has given the type a policy, an empty one included.
--- The number of the policy never goes back, so it outlives the policy: drop_type notes which one it dropped.
--- @include "base"

local function has_policy()
  local numbers = redis.call('HMGET', base, 'policy_number', 'policy_dropped')
  return numbers[1] and numbers[1] ~= numbers[2]
end
