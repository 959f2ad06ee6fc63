--- Indexes by digest: each keeps its digests in 4,096 small hashes, which Redis stores compactly.
--- @include "base"

-- Returns the hash that has a digest in an index, `callbacks` or `submit_keys`, and the field in it.
local function index_entry(index, digest)
  return key(index .. ':' .. string.sub(digest, 1, 2)), string.sub(digest, 3)
end

-- Deletes the entry of a digest if it still names this job.
local function drop_index_entry(index, digest, request_id)
  local name, rest = index_entry(index, digest)
  if redis.call('HGET', name, rest) == request_id then
    redis.call('HDEL', name, rest)
  end
end
