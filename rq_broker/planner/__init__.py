"""Decides which waiting jobs are granted capacity, and says why and how long the others wait.

The planner is pure: a `Snapshot` goes in, a `Plan` comes out. It knows no Redis, no clock, no I/O.
The same code answers explanations, forecasts and what-if questions, so no two answers disagree.

**One admission pass** takes the waiting jobs in order: by priority, then by ID; while the policy
shares, by what their owners used (share_order.py). A job is granted if all its instances fit at
once on what is free at that moment. If they do not fit, its whole shape waits for the rest of the
pass: free capacity only shrinks during a pass, so a later job of the same shape cannot fit either.
Hence the cost of a pass grows with the number of shapes and grants, not with the number of waiting
jobs. No shape is skipped because a smaller one did not fit.

**Why a job is not granted**, in the order in which the rules are tested:

1. *The type is paused.* Nothing is granted.
2. *Its destination is closed.* The job keeps its place. It does not block later jobs, and it does
   not count as passed.
3. *Its owner would exceed a limit.* The job blocks nobody else. Exception: once it has been passed
   for `patience` seconds, room for it is kept below the limit, so that later jobs of the same owner
   cannot take it. Room is kept for one job of each owner, the earliest.
4. *As many jobs of its array hold as may at a time* (`at_once`). It blocks nobody, and does not
   count as passed.
5. *There is no room.* Later jobs may pass it for `patience` seconds (null: for ever). Then its
   start is *reserved* in time, as below. Exceptions: a job that no host could ever hold blocks
   nobody; with `strict_order` all hosts of its aggregate, or all hosts, are closed to later jobs.

A job is *passed* when a later job is granted a host that it could have used, or capacity below the
limit of the owner they share.

**A reservation** is a start time and hosts (EASY: Lifka 1995). Each hold has an expected end, from
a prediction made at its grant and corrected once it is outlived (domain/holding_times.py). The job
starts at the first moment at which it fits if holds end as expected (start_times.py). A later job
goes ahead if it is expected to end by then, or uses what is free now and stays free beside the
reserved job (reservations.py). Every pass finds start and hosts anew, so new knowledge moves them.
Only the first start found is kept, as a promise: once that is missed by far, the job's hosts are
fixed, so that predictions that are always too short cannot starve it (promising.py).

The first job in order that is due claims all hosts of its aggregate; another job has a reservation
of its own only if it may use none of them. So a job that an operator moves before the reserved one
takes what it needs, and the reservation too if it is due itself.

**A snapshot may show only some of the waiting jobs**: a window of the shapes, and the first jobs
(heads) of each. If all heads of a shape are granted and the shape has more jobs, the pass ends
early, because a hidden job may come before the next one shown. A window of shapes must contain the
shapes of the jobs that were promised a start: otherwise those jobs are taken to be gone. With
patience 0, or strict order, a window must begin with the first shape.
"""

from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner.capacity_reasons import beyond_limits, could_ever_fit, of_all_options
from rq_broker.planner.explaining import (
    Explanation,
    Largest,
    Shortfall,
    explain,
    explain_steps,
)
from rq_broker.planner.forecasting.forecasts import (
    Forecast,
    LineForecast,
    forecast_line,
    forecast_steps,
)
from rq_broker.planner.forecasting.what_if import (
    IMAGINED,
    ForecastChange,
    change_steps,
    make_room,
    with_imagined_job,
)
from rq_broker.planner.packing.host_tables import HostTables, tables_of
from rq_broker.planner.plans import Plan, plan, plan_steps
from rq_broker.planner.reasons import beside_the_line
from rq_broker.planner.steps import Steps, TimedSteps

__all__ = [
    "IMAGINED",
    "Explanation",
    "Forecast",
    "ForecastChange",
    "HostTables",
    "Largest",
    "LineForecast",
    "Plan",
    "Reason",
    "ReasonCode",
    "Shortfall",
    "Steps",
    "TimedSteps",
    "beside_the_line",
    "beyond_limits",
    "change_steps",
    "could_ever_fit",
    "explain",
    "explain_steps",
    "forecast_line",
    "forecast_steps",
    "make_room",
    "of_all_options",
    "plan",
    "plan_steps",
    "tables_of",
    "with_imagined_job",
]
