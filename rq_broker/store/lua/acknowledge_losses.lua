--- Note that an operator knows of the losses of a type's state: probes and the audit tell of them no more.
--- Keeps: each loss stays on record, so that it is not reported anew. What shows later that more was lost
---   than was known is told again.
--- KEYS[1] base
--- ARGV none
--- Returns
---   acknowledged  integer  losses that were told until now
--- Errors none
--- Audit the type; how many losses were told until now
--- @include "base"
--- @include "audit_log"

local flat, records = redis.call('HGETALL', key('lost')), {}
for i = 1, #flat, 2 do
  if string.match(flat[i + 1], '^%d+ %d+ %d+ %d+ %d+$') then
    records[#records + 1] = flat[i]
  end
end
for _, incarnation in ipairs(records) do
  local name = key('lost')
  redis.call('HSET', name, incarnation, redis.call('HGET', name, incarnation) .. ' acknowledged')
end
if #records > 0 then
  record_audit(actor, 'acknowledge_losses', type_name(), { 'losses', #records })
end
return reply({ acknowledged = #records })
