--- Change the type's policy.
--- Keeps: fields not named stay as they are; every notifier obeys on its next pass.
--- KEYS[1] base
--- ARGV[1…] field/value pairs, '' for null, spans in ms
--- Returns 1
--- Errors none
--- @include "base"
--- @include "line"

for i = 1, #ARGV, 2 do
  redis.call('HSET', base, 'policy:' .. ARGV[i], ARGV[i + 1])
end
redis.call('HINCRBY', base, 'policy_number', 1)
wake('grant')
return 1
