--- The index of callbacks: it keeps each digest in one of 4,096 small hashes.
--- @include "base"

-- Returns the hash that has a digest, and the field in it.
local function callback_entry(digest)
  return key('callbacks:' .. string.sub(digest, 1, 2)), string.sub(digest, 3)
end
