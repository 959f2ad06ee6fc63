--- Servers: what the source of its hosts knows a running job by. `servers` has the job of each server.
--- Keeps: no two running jobs of the type name one server. Where a source names servers by UUIDs, every
--- spelling of one is kept as that source spells it.
--- @include "base"
--- @include "clock"
--- @include "owned"

local QUARTER = string.rep('%x', 4)
local UUID = '^(' .. QUARTER .. QUARTER .. ')%-?(' .. QUARTER .. ')%-?(' .. QUARTER .. ')%-?(' .. QUARTER .. ')%-?('
  .. QUARTER .. QUARTER .. QUARTER .. ')$'

-- Returns a UUID in lower case with dashes, from a spelling in upper case, without dashes, in braces, or as a
-- URN; nil if the name is no UUID.
local function canonical_uuid(name)
  local text = string.gsub(string.lower(name), '^urn:uuid:', '')
  local a, b, c, d, e = string.match(string.match(text, '^{(.*)}$') or text, UUID)
  return a and table.concat({ a, b, c, d, e }, '-') or nil
end

-- Returns a source of the type that names servers by UUIDs, nil if there is none; and whether another source
-- of the type names them in another way.
local function uuid_source()
  local by_uuid, is_mixed
  for _, source in ipairs(redis.call('SMEMBERS', key('sources'))) do
    local naming = redis.call('HGET', key('source:' .. source), 'naming')
    by_uuid = naming == 'uuid' and source or by_uuid
    is_mixed = is_mixed or naming == 'any'
  end
  return by_uuid, is_mixed
end

local function has_server(servers, name)
  return string.find(' ' .. servers .. ' ', ' ' .. name .. ' ', 1, true) ~= nil
end

-- Returns the servers of a job as they are stored, '' for none.
local function servers_of(request_id)
  local servers = redis.pcall('HGET', job_key(request_id), 'servers')
  return servers and not servers.err and servers or ''
end

-- Returns which other running job has a server; nil if none has.
local function job_of_server(name, request_id)
  local other = redis.call('HGET', key('servers'), name)
  return other and other ~= request_id and has_server(servers_of(other), name) and other or nil
end

-- Takes a server from the index if the job there has not named it.
local function drop_stale_server(name)
  local other = redis.call('HGET', key('servers'), name)
  if other and not has_server(servers_of(other), name) then
    redis.call('HDEL', key('servers'), name)
  end
end

local function refuse_server(place, name, problem)
  return redis.error_reply('DUPLICATE_SERVER servers[' .. place .. '] is ' .. name .. ', which ' .. problem)
end

-- Returns the names as they are kept, or nil and why they are refused; writes nothing. `owners`: of the caller.
local function check_servers(request_id, names, owners)
  local by_uuid, is_mixed = uuid_source()
  local servers, place_of = {}, {}
  for name in string.gmatch(names, '%S+') do
    local place, server = #servers, by_uuid and canonical_uuid(name) or name
    if by_uuid and not is_mixed and not canonical_uuid(name) then
      return nil, redis.error_reply('INVALID_SERVER servers[' .. place .. '] must be a UUID, as the source ' .. by_uuid
        .. ' names servers, not ' .. name)
    end
    if place_of[server] then
      return nil, refuse_server(place, server, 'servers[' .. place_of[server] .. '] is too')
    end
    local other = job_of_server(server, request_id)
    if other then
      return nil, refuse_server(place, server, named_job(other, owners) .. ' has named')
    end
    servers[#servers + 1], place_of[server] = server, place
  end
  return servers
end

-- Takes the servers of a job from the index.
local function forget_servers(request_id)
  for name in string.gmatch(servers_of(request_id), '%S+') do
    if redis.call('HGET', key('servers'), name) == request_id then
      redis.call('HDEL', key('servers'), name)
    end
  end
end

-- Gives a job the servers that `check_servers` returned, instead of those it has. `unseen` of the job has those
-- that no snapshot has shown since they were named.
local function keep_servers(request_id, servers)
  local stored = redis.call('HMGET', job_key(request_id), 'servers', 'unseen')
  local before, unseen, is_new = stored[1] or '', {}, false
  forget_servers(request_id)
  for _, name in ipairs(servers) do
    redis.call('HSET', key('servers'), name, request_id)
    local is_named_now = not has_server(before, name)
    is_new = is_new or is_named_now
    if is_named_now or has_server(stored[2] or '', name) then
      unseen[#unseen + 1] = name
    end
  end
  redis.call('HSET', job_key(request_id), 'servers', table.concat(servers, ' '), 'unseen', table.concat(unseen, ' '))
  if is_new or #unseen == 0 then
    redis.call('HSET', job_key(request_id), 'named', whole(now_ms()))
    redis.call('HDEL', job_key(request_id), 'missed_by')
  end
end

local function is_using(amounts)
  for _, amount in pairs(amounts or {}) do
    if amount > 0 then
      return true
    end
  end
  return false
end

-- Returns those servers of `unseen` of which a snapshot shows nothing either.
local function still_unseen(unseen, used_by_server)
  local names = {}
  for name in string.gmatch(unseen, '%S+') do
    if not is_using(used_by_server[name]) then
      names[#names + 1] = name
    end
  end
  return table.concat(names, ' ')
end
