--- Read the first jobs of each waiting shape, shapes in the order of their first job.
--- Keeps: the cost follows the shapes read, not the jobs that wait. `heads` ranks shapes of equal
---   priority by digest, so a window may end anywhere among them. Within the window, shapes stand in
---   the order of their first jobs. Where many shapes are read, fewer jobs are read of each shape,
---   because Redis does nothing else meanwhile.
--- KEYS[1] base
--- ARGV
---   rank      integer  rank in `heads` of the first shape to read
---   limit     integer  how many shapes to read
---   jobs      integer  how many jobs to read of each shape, at most
---   earliest  integer  if not all shapes fit: read the shapes of this many first jobs besides
---   with_own  flag     tell which jobs have a priority of their own
--- Returns
---   total     integer  how many shapes wait in all
---   shapes    rows     a waiting shape
---     shape   string   its digest
---     size    integer  bytes of what it stands for in `shapes`, canonical JSON; 0 if it is missing
---     count   integer  how many of its jobs wait
---     heads   fields   its first jobs: member, priority, ...
---     own     strings  those of them with a priority of their own; none unless asked for
---     passed  fields   when the first of all and the first of these were first passed: member, ms
--- Errors none
--- @include "shape_heads"

local read, total = read_heads(rank, limit, jobs, earliest, with_own)
return reply({ total = total, shapes = read })
