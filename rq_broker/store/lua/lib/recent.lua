--- How long an answer or a failure of a destination counts when scripts decide whether there is an outage.
local RECENT_MS = 60000
