--- Change fields of the type's policy.
--- Keeps: other fields stay as they are; every notifier reads the policy in its next admission pass.
---   What owners used is forgotten when the policy stops to share.
--- KEYS[1] base
--- ARGV
---   changes  fields  policy field and its new value: '' for null, spans in ms
--- Returns none
--- Errors none
--- @include "base"
--- @include "queue"

for i = 1, #changes, 2 do
  redis.call('HSET', base, 'policy:' .. changes[i], changes[i + 1])
  if changes[i] == 'share' and changes[i + 1] == '' then
    redis.call('DEL', key('past_usage'))
  end
end
add_to(base, 'policy_number', 1)
wake('grant')
