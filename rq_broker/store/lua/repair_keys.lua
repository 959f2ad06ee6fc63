--- Delete keys that are of another kind than their own, which no script of ours wrote.
--- Keeps: a key of the kind that belongs there stays. What the deleted key stood for is made anew of the jobs, by
---   the other repairs, as far as it can be known. Run again, it changes nothing.
--- KEYS[1] base
--- ARGV
---   keys     fields   the name of a key without the base, `itself` for the base, and its kind; of one that was
---                     set aside (see lib/guard) no kind that there is
--- Returns
---   deleted  integer  how many were deleted
--- Errors none
--- Audit the type; how many keys were deleted
--- @include "base"
--- @include "audit_log"

local deleted = 0
for i = 1, #keys, 2 do
  local name = keys[i] == 'itself' and base or key(keys[i])
  local kind = redis.call('TYPE', name).ok
  if kind ~= keys[i + 1] and kind ~= 'none' then
    redis.call('DEL', name)
    deleted = deleted + 1
  end
  redis.call('HDEL', key('set_aside'), (string.gsub(keys[i], '^set_aside:', '')))
end
record_audit(actor, 'repair_keys', type_name(), nil, { 'deleted', deleted })
return reply({ deleted = deleted })
