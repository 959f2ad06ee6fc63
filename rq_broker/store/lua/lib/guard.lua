--- What each script that writes begins with: a key of another kind than a command needs stops no script half-way.
--- No script of ours wrote such a key. Before the script's first write it ends the script. Later it is set aside
--- under another name, for the audit to tell of, and the command runs as if it had never been there.
--- To try each key first would cost a command for each.
---
--- `redis.write` and `redis.try_write` stand for `redis.call` and `redis.pcall` of a command that writes, see prelude.
--- The first write switches the guard on, so that what is read before it costs nothing more.

local server = redis
local redis = {
  error_reply = server.error_reply, acl_check_cmd = server.acl_check_cmd, pcall = server.pcall,
  call = false, write = false, try_write = false, -- makes room for what follows
}

local function call_guarded(...)
  local reply = server.pcall(...)
  if type(reply) == 'table' and reply.err then
    if string.find(tostring(reply.err), 'WRONGTYPE', 1, true) then
      local _, name = ...
      local rest = string.sub(name, #KEYS[1] + 2)
      redis.pcall('RENAME', name, KEYS[1] .. ':set_aside:' .. rest)
      redis.pcall('HSET', KEYS[1] .. ':set_aside', rest, '')
    end
    return server.call(...) -- succeeds, or fails as it did
  end
  return reply
end

local function first_write(...)
  local reply = server.call(...)
  redis.call, redis.write = call_guarded, call_guarded
  return reply
end

function redis.try_write(...)
  redis.call, redis.write = call_guarded, call_guarded
  return server.pcall(...)
end

-- Switches the guard off: nothing is written yet.
local function switch_off()
  redis.call, redis.write = server.call, first_write
end
redis.call, redis.write = server.call, first_write

