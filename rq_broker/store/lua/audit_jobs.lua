--- Read a page of the jobs that one status lists, with all that the audit compares of each.
--- Keeps: nothing is written; all of a page is read at one instant; the cost of a page does not depend on
---   what the jobs' data or the queue hold. A job is plain if it holds nothing and no check that can be
---   made here has a finding on it: of its kind, only what is left to check is replied.
--- KEYS[1] base
--- ARGV
---   status        string   the status
---   priority      string   priority of the last job of the page before; '' for the first page
---   after         string   its member
---   count         integer  jobs to read
---   is_random     flag     choose them at random instead
---   with_plain    flag     reply plain jobs among `jobs`, like all others
---   members       strings  read these instead
--- Returns
---   count         integer  how many jobs were read
---   priority      string   priority of the last of them
---   after         string   its member
---   fence         decimal  the highest fence of the plain jobs, 0 for none
---   rule          string   which jobs of the status have a deadline: 'all'; 'own', those with `hold_at_most`;
---                          'newer', those that run since it is the default; 'any', while they are counted anew
---   plain         strings  the members of the plain jobs
---   callbacks     strings  the callback of each plain job
---   owners        strings  its owner
---   bytes         strings  what it takes, see lib/queue_use; '' where it is not counted
---   shapes        fields   shape to how many plain jobs have it
---   indexes       fields   deadlines, own_priority, passed, forecasts, unheld to how many plain jobs they have
---   demands       rows     what plain jobs that are not queued have as demand, each once
---     demand      string   the demand
---     shape       string   what the hash says its digest is
---     expected    string   how long the job said it holds, ms; '' for nothing
---     members     strings  the jobs
---   jobs          rows     the other jobs, in the order of the set
---     member      string   as the set lists it
---     priority    string   its score there; '' where the set does not list it
---     by_owner    string   its score in the set of its owner; '' where it is not there
---     by_shape    string   the same in the set of its shape
---     fields      fields   what its hash says, but for its data
---     places      strings  sets that have its callback: deliveries, prompt, parked
---     indexes     strings  those that have the job: deadlines, own_priority, passed, forecasts, unheld
---     holds       fields   what it holds
---     seen        fields   what of its grant a source counts as used
---     unheld      fields   what of it is neither held nor used
--- Errors none
--- @include "base"
--- @include "batches"
--- @include "job"
--- @include "rank"
--- @include "deadline"

local FIELDS = { 'id', 'owner', 'status', 'shape', 'created', 'fence', 'hosts', 'demand', 'destination',
  'expected', 'predicted', 'servers', 'devices', 'bytes', 'alternative', 'callback', 'callback2' }
local ID, OWNER, STATUS, SHAPE, CREATED, FENCE, HOSTS, DEMAND, DESTINATION = 1, 2, 3, 4, 5, 6, 7, 8, 9
local EXPECTED, PREDICTED, SERVERS, DEVICES, BYTES, ALTERNATIVE, CALLBACK, SECOND_PIECE = 10, 11, 12, 13, 14, 15, 16, 17
local MOST = 500 -- jobs of a page: Lua's `unpack` fails near 8,000 values, and three keys of each are asked for

if #members > MOST or count > MOST then
  return redis.error_reply('ERR a page has at most ' .. MOST .. ' jobs')
end

local set = key('status:' .. status)

-- Returns the rule of the status about deadlines, see `rule`.
local function deadline_rule()
  local field = SPANS[status]
  if not field then
    return 'own'
  end
  local f = redis.call('HMGET', base, 'recount:' .. status, 'policy:' .. field)
  if f[1] then
    return 'any'
  elseif status == 'running' and not f[2] then
    return 'newer'
  end
  return policy_number_of(field) and 'all' or 'own'
end

local rule = deadline_rule()

-- Returns the rank at which the page begins: behind the last job of the page before, whether or not that
-- is still there.
local function first_rank()
  if priority == '' then
    return 0
  end
  local rank = redis.call('ZSCORE', set, after) == priority and redis.call('ZRANK', set, after)
  if rank then
    return rank + 1
  end
  return rank_behind(set, priority, function(member)
    return member <= after
  end)
end

-- Returns members and their scores, flat.
local function listed()
  if #members > 0 then
    local flat = {}
    for i, score in ipairs(redis.call('ZMSCORE', set, unpack(members))) do
      flat[2 * i - 1], flat[2 * i] = members[i], score or ''
    end
    return flat
  elseif is_random then
    return redis.call('ZRANDMEMBER', set, whole(count), 'WITHSCORES')
  end
  local rank = first_rank()
  return redis.call('ZRANGE', set, whole(rank), whole(rank + count - 1), 'WITHSCORES')
end

-- The jobs, by their place in the page: member, priority, and the values of FIELDS; none where there is no
-- hash, or another kind of value.
local names, request_ids, priorities, hashes = {}, {}, {}, {}

local function read_page()
  local flat, prefix = listed(), job_key('')
  for i = 1, #flat, 2 do
    local place, request_id = #names + 1, request_id_of(flat[i])
    local values = redis.pcall('HMGET', prefix .. request_id, unpack(FIELDS))
    names[place], request_ids[place], priorities[place] = flat[i], request_id, flat[i + 1]
    hashes[place] = values.err and {} or values
  end
end

-- Returns whether any of some keys exists.
local function any_exists(keys)
  for first = 1, #keys, BATCH do
    if redis.pcall('EXISTS', unpack(keys, first, math.min(first + BATCH - 1, #keys))) ~= 0 then
      return true
    end
  end
  return false
end

-- Returns the score of each job in the set of a kind that has this name of its own; none where it is in none.
local function scores_in(kind, name_of)
  local sets, by_name, set_of, scores = {}, {}, {}, {}
  for place, hash in ipairs(hashes) do
    local name = name_of(hash)
    local own = by_name[name]
    if not own then
      own = key(kind .. name)
      by_name[name], sets[#sets + 1] = own, own
    end
    set_of[place] = own
  end
  if any_exists(sets) then
    for place, member in ipairs(names) do
      local found = redis.pcall('ZSCORE', set_of[place], member)
      scores[place] = found and not found.err and found or nil
    end
  end
  return scores
end

-- Asks an index once for all jobs. Returns 0 or false for those it does not name.
local function find_in(index, ask)
  local found = #names > 0 and any_exists({ key(index) }) and ask(key(index))
  return found and not found.err and found or {}
end

local function ask_zset(name)
  return redis.pcall('ZMSCORE', name, unpack(names))
end

local function ask_set(name)
  return redis.pcall('SMISMEMBER', name, unpack(names))
end

local function ask_hash(name)
  return redis.pcall('HMGET', name, unpack(names))
end

-- Returns which jobs hold something, or have something that a source counts.
local function find_holders()
  local keys, holders = {}, {}
  local holds, seen, unheld = key('holds:'), key('seen:'), key('unheld:')
  for place, request_id in ipairs(request_ids) do
    local last = 3 * place
    keys[last - 2], keys[last - 1], keys[last] = holds .. request_id, seen .. request_id, unheld .. request_id
  end
  if any_exists(keys) then
    for place = 1, #names do
      holders[place] = any_exists({ keys[3 * place - 2], keys[3 * place - 1], keys[3 * place] })
    end
  end
  return holders
end

read_page()
local by_owner = scores_in('owner:', function(hash)
  return hash[OWNER] or ''
end)
local by_shape = scores_in('shape:', function(hash)
  return hash[SHAPE] or ''
end)
local parked = scores_in('parked:', function(hash)
  return receiver_of(hash[DESTINATION] or '', hash[OWNER] or '')
end)
local holders = find_holders()
local deliveries, prompt = find_in('deliveries', ask_zset), find_in('prompt', ask_zset)
local INDEXES = { 'deadlines', 'own_priority', 'passed', 'forecasts', 'unheld' }
local indexed = { find_in('deadlines', ask_zset), find_in('own_priority', ask_set),
  find_in('passed', ask_hash), find_in('forecasts', ask_hash), find_in('unheld', ask_zset) }

local find, sub = string.find, string.sub

local function is_digits(text)
  return find(text, '^%d+$') ~= nil
end

-- Returns whether the ID is the one that the member begins with, in 16 digits.
local function is_id_of(id, member)
  return is_digits(id) and sub('0000000000000000', #id + 1) .. id .. ':' == sub(member, 1, 17)
end

-- Returns whether the demand is as the status has it; only Python can compute its digest.
local function has_demand(place, hash)
  if status == 'queued' then
    return not hash[DEMAND] and by_shape[place] == priorities[place]
  end
  return hash[DEMAND] and not by_shape[place] and (not hash[EXPECTED] or is_digits(hash[EXPECTED]))
end

local function is_plain(place)
  local hash = hashes[place]
  return hash[STATUS] == status
    and (rule ~= 'all' or indexed[1][place])
    and hash[OWNER] and hash[SHAPE] and hash[CALLBACK]
    and hash[ID] and is_id_of(hash[ID], names[place])
    and hash[CREATED] and is_digits(hash[CREATED])
    and (not hash[FENCE] or find(hash[FENCE], '^[1-9]%d*$'))
    and (not hash[HOSTS] or hash[HOSTS] == '[]')
    and not hash[PREDICTED]
    and not hash[SERVERS]
    and not hash[DEVICES]
    and (not hash[BYTES] or is_digits(hash[BYTES]))
    and not hash[ALTERNATIVE]
    and has_demand(place, hash)
    and by_owner[place] == priorities[place]
    and not holders[place]
    and not (deliveries[place] or prompt[place] or parked[place])
end

-- Calls `use` with the second and each further piece of a folded callback, see keys.py.
local function each_piece(place, use)
  local piece, number = hashes[place][SECOND_PIECE], 2
  while piece do
    use(piece, number)
    number = number + 1
    piece = redis.call('HGET', job_key(request_ids[place]), 'callback' .. number)
  end
end

local plain, callbacks, fence, demands = {}, {}, '0', {}
local owners, shapes, bytes, counts = {}, {}, {}, {}

-- Compares whole numbers as text: they may have more digits than are exact in Lua.
local function is_below(one, other)
  return #one < #other or #one == #other and one < other
end

local demand_rows = {}

local function add_demand(member, demand, shape, expected)
  local name = shape .. ' ' .. expected .. ' ' .. demand
  local row = demand_rows[name]
  if not row then
    row = { demand = demand, shape = shape, expected = expected, members = {} }
    demand_rows[name] = row
    demands[#demands + 1] = row
  end
  row.members[#row.members + 1] = member
end

local function add_plain(place)
  local hash, callback = hashes[place], hashes[place][CALLBACK]
  if hash[SECOND_PIECE] then
    each_piece(place, function(piece)
      callback = callback .. piece
    end)
  end
  local last = #plain + 1
  plain[last], callbacks[last] = names[place], callback
  owners[last], bytes[last] = hash[OWNER], hash[BYTES] or ''
  shapes[hash[SHAPE]] = (shapes[hash[SHAPE]] or 0) + 1
  for i, found in ipairs(indexed) do
    if found[place] and found[place] ~= 0 then
      counts[INDEXES[i]] = (counts[INDEXES[i]] or 0) + 1
    end
  end
  if hash[FENCE] and is_below(fence, hash[FENCE]) then
    fence = hash[FENCE]
  end
  if hash[DEMAND] then
    add_demand(names[place], hash[DEMAND], hash[SHAPE], hash[EXPECTED] or '')
  end
end

-- Returns what the hash of a job says, as a flat list.
local function fields_of(place)
  local flat = {}
  local function add(field, value)
    flat[#flat + 1], flat[#flat + 2] = field, value
  end
  for i = ID, CALLBACK do
    if hashes[place][i] then
      add(FIELDS[i], hashes[place][i])
    end
  end
  each_piece(place, function(piece, number)
    add('callback' .. number, piece)
  end)
  if status == 'granted' or status == 'running' then
    local more = { 'running_since', 'renewed', 'hold_at_most', 'at_once' }
    for i, value in ipairs(redis.pcall('HMGET', job_key(request_ids[place]), unpack(more, 1, #more))) do
      if value then
        add(more[i], value)
      end
    end
  end
  return flat
end

-- Returns a hash as a flat list; none where there is no hash, or another kind of value.
local function pairs_of(name)
  local flat = redis.pcall('HGETALL', name)
  return flat.err and {} or flat
end

-- Returns those of some names whose reply has something for a job.
local function found_of(place, choices, replies)
  local found = {}
  for i, reply_of in ipairs(replies) do
    if reply_of[place] and reply_of[place] ~= 0 then
      found[#found + 1] = choices[i]
    end
  end
  return found
end

local function row_of(place)
  local request_id = request_ids[place]
  return {
    member = names[place],
    priority = priorities[place],
    by_owner = by_owner[place] or '',
    by_shape = by_shape[place] or '',
    fields = fields_of(place),
    places = found_of(place, { 'deliveries', 'prompt', 'parked' }, { deliveries, prompt, parked }),
    indexes = found_of(place, INDEXES, indexed),
    holds = holders[place] and pairs_of(key('holds:' .. request_id)) or {},
    seen = holders[place] and pairs_of(key('seen:' .. request_id)) or {},
    unheld = holders[place] and pairs_of(key('unheld:' .. request_id)) or {},
  }
end

-- Returns numbers by name as a flat list.
local function flat_of(numbers)
  local flat = {}
  for name, number in pairs(numbers) do
    flat[#flat + 1], flat[#flat + 2] = name, whole(number)
  end
  return flat
end

local jobs = {}
for place = 1, #names do
  if not with_plain and is_plain(place) then
    add_plain(place)
  else
    jobs[#jobs + 1] = row_of(place)
  end
end
return reply({
  count = #names,
  priority = priorities[#names] or '',
  after = names[#names] or '',
  fence = fence,
  rule = rule,
  plain = plain,
  callbacks = callbacks,
  owners = owners,
  bytes = bytes,
  shapes = flat_of(shapes),
  indexes = flat_of(counts),
  demands = demands,
  jobs = jobs,
})
