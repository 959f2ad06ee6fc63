--- Note in the log of what belongs to no type that a type was dropped.
--- Keeps: the log of the type has the line too, by the script that dropped it; it ends 30 days later.
--- KEYS[1] base
--- ARGV
---   dropped  string  the type
---   deleted  string  what was deleted, JSON, as drop_type returns it
--- Returns none
--- Errors none
--- Audit the type; what was deleted
--- @include "audit_log"

record_audit(actor, 'drop_type', dropped, deleted)
