--- The incarnation names one life of the type's state. It is a field of the base hash, made with the first
--- job. Once it is noticed that Redis lost what it had, the state has another one.
--- @include "base"
--- @include "wall"

-- Returns the name of a life that begins now.
local function new_incarnation()
  return whole(wall_us())
end
