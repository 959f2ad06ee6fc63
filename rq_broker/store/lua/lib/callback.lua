--- Where the callbacks index has a digest: a small hash, and the field in it.
--- @include "base"

local function callback_entry(digest)
  return key('callbacks:' .. string.sub(digest, 1, 2)), string.sub(digest, 3)
end
