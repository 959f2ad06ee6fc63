"""Who is granted capacity, why the others wait, and for how long: pure, no Redis, clock or I/O.

A pass goes through the waiting jobs once, by priority and then ID (with `share: owner`, at equal
priority the owner with the smallest dominant share first). Each is granted if all its instances fit
at once on what is free at that moment; if not, it is skipped, and its shape with it: within a pass
free capacity only shrinks, so what failed once need not be tried again. Cost follows shapes and
grants, never the number of jobs that wait, and no shape is skipped because a smaller one failed.

Rules, in the order they bind:

1. paused: nothing is granted.
2. A closed destination's jobs keep their place; they neither block, nor are they passed.
3. An owner at its limit waits, alone. Its earliest job passed too long has room kept below the cap.
4. No fit. Impossible jobs (beyond the capacity of every host) block nobody.
   patience 0: a job that does not fit shuts all hosts of its aggregate (or all there are) to later
   jobs. patience n: the first job in order that was passed n seconds ago is *protected*: what it
   needs on a set of hosts is kept from later jobs. One job at a time; the next overdue one follows
   when it is granted. patience None: nobody is kept from anything.

Protection binds only jobs later in order. So an operator's reorder beats it: a job moved to the
front takes what it wants, and if another overdue job now comes first, protection moves to it.

A pass ends early, with `more`, when a shape's shown heads are all granted and it has others: a
hidden one may come before whatever is next. A protected job whose shape is not in the snapshot is
taken to be gone: a window of shapes must include it. With patience 0 a window starts at the front.
"""

from rq_broker.planner.crowd import Running
from rq_broker.planner.eta import ETA, forecast, simulate
from rq_broker.planner.explaining import Explanation, Largest, explain
from rq_broker.planner.planning import Plan, plan
from rq_broker.planner.reasons import Code, Reason, Shortfall, could_ever_fit
from rq_broker.planner.whatif import IMAGINED, Move, make_room, moves, reordered, with_job

__all__ = [
    "ETA",
    "IMAGINED",
    "Code",
    "Explanation",
    "Largest",
    "Move",
    "Plan",
    "Reason",
    "Running",
    "Shortfall",
    "could_ever_fit",
    "explain",
    "forecast",
    "make_room",
    "moves",
    "plan",
    "reordered",
    "simulate",
    "with_job",
]
