"""The rows of reports."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import Operation, Parameter
from rq_broker.api.report_views import HoldersView, ReportView, WaitingNowView


def _limit(most: int, text: str) -> Parameter:
    return Parameter({"type": "integer", "minimum": 1, "maximum": most}, text)


_TIME = {"type": "number", "minimum": 0}
_OWNERS = _limit(50, "Owners that are named, 10 if left out; the others are one, `other`.")
_WHOM = "Of other owners a client sees sums, and no names."

OPERATIONS: Mapping[str, Operation] = {
    "report": Operation(
        ReportView,
        refusals.TYPE,
        query={
            "from": Parameter(_TIME, "Unix time; 24 hours, or 30 days, before `to` if left out."),
            "to": Parameter(_TIME, "Unix time; now if left out."),
            "by": Parameter({"enum": ["owner", "size"]}, "What jobs are grouped by: `size`."),
            "step": Parameter({"enum": ["hour", "day"]}, "`hour`, or days of UTC."),
            "limit": _OWNERS,
        },
        note="Notifiers count events seconds after they happen, and keep hours for 8 days and days "
        "for a year. A report has at most 400 steps. What a job had of the hosts is spread over "
        f"the time in which it had it, up to now. {_WHOM}",
        group=Group.LOOK,
        order=70,
        examples=(
            Example("Waits by size"),
            Example("What each owner had", query={"by": "owner", "step": "day"}),
        ),
        access=roles.ASK,
    ),
    "waiting_now": Operation(
        WaitingNowView,
        refusals.TYPE,
        query={"limit": _OWNERS},
        note=f"Sums up the line as it stands, without jobs that wait beside it. {_WHOM}",
        group=Group.LOOK,
        order=71,
        access=roles.ASK,
    ),
    "late_holders": Operation(
        HoldersView,
        refusals.TYPE,
        query={
            "limit": _limit(1000, "Most jobs of the answer, 100 if left out."),
            "owner_id": Parameter({"type": "string"}, "Only jobs of this owner."),
        },
        note="A job is expected to hold for what it says (`expected`), or what was predicted at "
        "its grant. A client sees its own.",
        group=Group.LOOK,
        order=72,
        access=roles.ASK,
    ),
}
