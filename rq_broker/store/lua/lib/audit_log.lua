--- The audit log: who changed what, a line for each change that is not the broker's own, in the stream
--- `audit`. The script that makes a change writes its line: no change is without one, and no line
--- without a change. `actor` is who makes it: name, address and HTTP request; nil for the broker itself,
--- whose changes leave no line. `before` and `after` hold what changed only, as JSON objects, '' for nothing.
---
--- Every line has the same fields in the same order: a stream stores their names once for some 100 lines.
--- @include "base"
--- @include "audit_log_default"

local AUDIT_VALUE_BYTES = 200 -- of one value: nobody can fill the log's memory with one call
local AUDIT_VALUES = 24 -- on each side of a line; `more` counts the others
local AUDIT_KEPT_MS = 2592000000 -- 30 days: how long the log of a type that was forgotten is kept

local function escape_audit(character)
  return string.format('\\u%04x', string.byte(character))
end

-- Returns a value as JSON; a long text is cut behind a whole letter.
local function audit_json(value)
  if type(value) == 'number' then
    return value % 1 == 0 and whole(value) or tostring(value)
  elseif type(value) == 'boolean' then
    return tostring(value)
  end
  if #value > AUDIT_VALUE_BYTES then
    value = string.gsub(string.sub(value, 1, AUDIT_VALUE_BYTES), '[\192-\255][\128-\191]*$', '') .. '…'
  end
  return '"' .. string.gsub(value, '[%z\1-\31"\\\127]', escape_audit) .. '"'
end

-- Returns name, value, … as a JSON object, '' for nothing; a text is such an object already.
local function audit_object(flat)
  if not flat then
    return ''
  elseif type(flat) == 'string' then
    return flat
  end
  local parts = {}
  for i = 1, math.min(#flat, 2 * AUDIT_VALUES), 2 do
    parts[#parts + 1] = audit_json(flat[i]) .. ':' .. audit_json(flat[i + 1])
  end
  if #flat > 2 * AUDIT_VALUES then
    parts[#parts + 1] = '"more":' .. whole(#flat / 2 - AUDIT_VALUES)
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- Writes the line of a change. A damaged log is no reason to stop half-way: the audit finds it.
-- `settings`: the fields `policy:audit_log` and `audit_ends` of the base hash; nil to read them.
local function record_audit(actor, verb, subject, before, after, settings)
  if not actor then
    return
  end
  settings = settings or redis.call('HMGET', base, 'policy:audit_log', 'audit_ends')
  local most = number_of(settings[1], AUDIT_LOG_DEFAULT)
  if most <= 0 then
    return
  end
  redis.pcall('XADD', key('audit'), 'MAXLEN', '~', most, '*', 'who', actor[1], 'address', actor[2], 'verb', verb,
    'subject', subject, 'before', audit_object(before), 'after', audit_object(after), 'http_request_id', actor[3])
  if settings[2] then -- the type was forgotten, and is used again
    redis.call('PERSIST', key('audit'))
    redis.call('HDEL', base, 'audit_ends')
  end
end

-- Returns name, value, … of the fields whose values differ, once as they were and once as they are.
local function audit_changes(before, after)
  local old, new, names = {}, {}, {}
  for name in pairs(before) do
    names[#names + 1] = name
  end
  for name in pairs(after) do
    if before[name] == nil then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    if before[name] ~= after[name] then
      if before[name] ~= nil then
        old[#old + 1] = name
        old[#old + 1] = before[name]
      end
      if after[name] ~= nil then
        new[#new + 1] = name
        new[#new + 1] = after[name]
      end
    end
  end
  return old, new
end

-- Lets the log of a type that is forgotten end some time later, so that nobody can erase it at once.
local function keep_audit_for_a_while()
  if redis.call('PEXPIRE', key('audit'), AUDIT_KEPT_MS) == 1 then
    redis.call('HSET', base, 'audit_ends', '1')
  end
end

-- Returns the fields of a host that its publisher gives, amounts as numbers.
local function audit_host(name)
  local flat, fields = redis.call('HGETALL', name), {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 5) ~= 'held:' and flat[i] ~= 'digest' then
      fields[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1]
    end
  end
  return fields
end
