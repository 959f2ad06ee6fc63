--- The terms that a submit gives its job: when, for how long, and after which others.
--- @include "base"
--- @include "batches"
--- @include "owned"
--- @include "alarm"
--- @include "clock"

-- Returns the members of the jobs named, and those of them that have not ended; or the error that refuses.
-- `owners`: whose jobs the caller may name.
local function read_after(names, after_any, owners)
  local members, awaited = {}, {}
  for i, name in ipairs(names) do
    local f = redis.pcall('HMGET', job_key(name), 'id', 'status', 'owner')
    if not tonumber(f[1] or '') or not is_own(f[3] or '', owners) then
      return nil, nil, redis.error_reply('UNKNOWN_DEPENDENCY after names ' .. request_id_in(name)
        .. ', and the type has no such job: it was never submitted, was withdrawn, or its retention ended')
    end
    if f[2] == 'error' and not after_any then
      return nil, nil, redis.error_reply('DEPENDENCY_FAILED after names ' .. request_id_in(name)
        .. ', which is in error; give after_any to wait for its end only')
    end
    members[i] = member_of(f[1], name)
    if f[2] ~= 'done' and f[2] ~= 'error' then
      awaited[#awaited + 1] = members[i]
    end
  end
  return members, awaited
end

-- Returns what `write_terms` needs; writes nothing.
local function read_terms(terms, after, owners)
  local by_name = {}
  for i = 1, #terms, 2 do
    by_name[terms[i]] = terms[i + 1]
  end
  local members, awaited, refusal = read_after(after, by_name.after_any, owners)
  if refusal then
    return { refusal = refusal }
  end
  local not_before = number_of(by_name.not_before, 0)
  local is_early = not_before > now_ms()
  return {
    fields = terms, members = members, awaited = awaited, is_beside = is_early or #awaited > 0,
    not_before = is_early and not_before or nil, give_up_after = tonumber(by_name.give_up_after or ''),
  }
end

-- Writes the terms of a new job, and lets what it waits for know of it. `demand`: what its shape stands for.
local function write_terms(own, name, member, demand)
  set_fields(name, own.fields)
  if #own.members > 0 then
    redis.call('HSET', name, 'after', table.concat(own.members, '\n'))
  end
  if own.is_beside then
    redis.call('HSET', name, 'demand', demand)
  end
  if #own.awaited > 0 then
    redis.call('HSET', name, 'left', whole(#own.awaited))
    for _, awaited in ipairs(own.awaited) do
      redis.call('ZADD', key('dependents:' .. awaited), 0, member)
    end
  elseif own.not_before then
    set_alarm(member, own.not_before)
  elseif own.give_up_after then
    local gives_up = now_ms() + own.give_up_after
    redis.call('HSET', name, 'gives_up', whole(gives_up))
    set_alarm(member, gives_up)
  end
end
