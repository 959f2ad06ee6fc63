--- Read the hosts that changed since an earlier reply, with the policy of the same instant.
--- Keeps: a reader that keeps what it read, and passes on the numbers of the reply, misses nothing.
--- KEYS[1] base
--- ARGV
---   epoch       string?  epoch of the earlier reply
---   number      decimal  change number of the earlier reply, or 0
---   with_usage  flag     read what each owner holds as well
--- Returns
---   epoch       string   with another epoch, numbers start again
---   number      decimal  number of the last change
---   is_whole    flag     all hosts follow, not only changed ones
---   settings    fields   the base hash: the policy and its number, the promises, and what is kept
---   usage       fields   <resource>/<owner> and amount; empty unless asked for
---   past_usage  fields   <resource>/<owner>, and its average and when that was, ms; the same
---   closed      strings  receivers that take no grants now
---   asked       fields   those of them that asked for time, and until when, ms
---   tried       fields   those of them that do not answer, and when the next callback is tried, ms
---   failing     strings  destinations that take no grants of any owner, in an outage on the broker's side
---   behind      strings  receivers where too many callbacks wait for another grant
---   hosts       rows     changed hosts
---     host      string   its name
---     fields    fields   its hash
--- Errors none
--- @include "capacity_state"

local state = read_capacity(epoch, number, with_usage)
return reply({
  epoch = state.epoch,
  number = state.number,
  is_whole = state.is_whole,
  settings = state.settings,
  usage = state.usage,
  past_usage = state.past_usage,
  closed = state.closed,
  asked = state.asked,
  tried = state.tried,
  failing = state.failing,
  behind = state.behind,
  hosts = state.hosts,
})
