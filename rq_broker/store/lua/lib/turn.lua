--- The lock on planning a type, or on polling one source, see turn.lua.
--- @include "base"
--- @include "serial"
--- @include "wake"

local function lock_key(subject)
  return key('turn:' .. subject)
end

local function again_key(subject)
  return key('turn:' .. subject .. ':again')
end

-- Returns whether a process may have a lock, and the term, beat and holder that it has; if another process holds it, the
-- lock's text, and that process is to run one more round. `dead`: its text, if its holder is taken for dead.
local function ask_for_turn(subject, holder, dead)
  local text = redis.call('GET', lock_key(subject)) or ''
  local term, beat, current_holder = string.match(text, '^(%d+):(%d+) (.*)$')
  if text ~= '' and text ~= dead and current_holder ~= holder then
    redis.call('SET', again_key(subject), '1')
    return nil, text
  end
  return { term = term, beat = beat, holder = current_holder }
end

-- Notes that a round begins, on what was asked for before.
local function begin_round(subject)
  redis.call('DEL', again_key(subject))
  if subject == 'plan' then
    begin_work('grant')
  end
end

-- Writes the lock as its holder has it from now on; returns its term.
local function hold_turn(subject, holder, turn)
  local term, beat = turn.term, turn.beat
  if turn.holder ~= holder then
    term, beat = next_serial('term'), '0'
    redis.call('HSET', base, 'term', term)
  end
  redis.call('SET', lock_key(subject), term .. ':' .. whole(beat + 1) .. ' ' .. holder)
  return term
end
