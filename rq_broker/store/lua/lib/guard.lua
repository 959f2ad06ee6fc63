--- What each script that writes begins with: a key of another kind than a command needs stops no script half-way.
--- No script of ours wrote such a key. Before the script's first write it ends the script. Later it is set aside
--- under another name, for the audit to tell of, and the command runs as if it had never been there.
--- To try each key first would cost a command for each.
--- @include "reads"

local has_written, server = false, redis

local function set_aside(name)
  local rest = string.sub(name, #KEYS[1] + 2)
  redis.pcall('RENAME', name, KEYS[1] .. ':set_aside:' .. rest)
  redis.pcall('HSET', KEYS[1] .. ':set_aside', rest, '')
end

local function note_write(command)
  has_written = has_written or not string.find(READS, command, 1, true)
end

local redis = {
  error_reply = server.error_reply,
  acl_check_cmd = server.acl_check_cmd,
  pcall = function(...)
    note_write(...)
    return server.pcall(...)
  end,
  call = function(...)
    local reply = server.pcall(...)
    if type(reply) == 'table' and reply.err then
      if has_written and string.find(tostring(reply.err), 'WRONGTYPE', 1, true) then
        local _, name = ...
        set_aside(name)
      end
      return server.call(...) -- succeeds, or fails as it did
    end
    note_write(...)
    return reply
  end,
}

