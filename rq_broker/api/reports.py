"""Reports over HTTP: what happened to a type's jobs, what waits now, who holds for too long."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.report_reader import MOST_STEPS, By, ReportQuery, ReportReader
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.api.own import limits_of, owners_of
from rq_broker.api.paths import type_of
from rq_broker.api.report_views import holders_view, report_view, waiting_view
from rq_broker.api.responses import ok
from rq_broker.domain.errors import Invalid
from rq_broker.domain.reports import LENGTHS, MOST_OWNERS, Kind
from rq_broker.domain.validation import one_of, show

_KINDS: Mapping[str, Kind] = {"hour": "hour", "day": "day"}
_BY: Mapping[str, By] = {"owner": "owner", "size": "size"}
DEFAULT_STEPS = {"hour": 24, "day": 30}
"""Steps of a report whose query does not say from when it is."""
DEFAULT_OWNERS = 10
"""Owners that a report names where its query does not say."""
DEFAULT_HOLDERS, MOST_HOLDERS = 100, 1000
"""Jobs that outlast what was expected, in one answer."""
_LATEST = 2**40
"""Seconds since 1970 that a query may name: far from where floats lose seconds."""


class ReportEndpoints:
    """The endpoints below /types/{type}/report."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._reader = ReportReader(snapshots)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/report", self.report),
            Route("/types/{type}/report/waiting", self.waiting_now),
            Route("/types/{type}/report/holders", self.late_holders),
        ]

    async def report(self, request: Request) -> Response:
        """Sum up what happened to a type's jobs, by hour or day, and by owner or size."""
        type_, query = type_of(request), _query(request)
        return ok(report_view(type_, query.by, await self._reader.report(type_, query)))

    async def waiting_now(self, request: Request) -> Response:
        """Sum up the jobs in the line, by owner and by size."""
        limit = _limit(request.query_params.get("limit"), DEFAULT_OWNERS, MOST_OWNERS)
        waiting = await self._reader.waiting(type_of(request))
        return ok(waiting_view(waiting, limit, limits_of(request)))

    async def late_holders(self, request: Request) -> Response:
        """List the jobs that hold capacity for longer than expected, the longest beyond first."""
        limit = _limit(request.query_params.get("limit"), DEFAULT_HOLDERS, MOST_HOLDERS)
        jobs, total = await self._reader.holders(type_of(request), limit, owners_of(request))
        return ok(holders_view(jobs, total))


def _query(request: Request) -> ReportQuery:
    """Parse the query of a report. Raises Invalid."""
    parameters = request.query_params
    kind = _KINDS[one_of(parameters.get("step", "hour"), "step", _KINDS)]
    by = _BY[one_of(parameters.get("by", "size"), "by", _BY)]
    end = _time(parameters.get("to"), "to", time.time())
    start = _time(parameters.get("from"), "from", end - (DEFAULT_STEPS[kind] - 1) * LENGTHS[kind])
    if start >= end:
        raise Invalid("from must be before to")
    if (end - start) / LENGTHS[kind] > MOST_STEPS - 1:
        raise Invalid(f"a report has at most {MOST_STEPS} steps: give a later from, or step=day")
    limit = _limit(parameters.get("limit"), DEFAULT_OWNERS, MOST_OWNERS)
    return ReportQuery(kind, start, end, by, limit, limits_of(request))


def _time(text: str | None, name: str, default: float) -> float:
    if text is None:
        return default
    try:
        seconds = float(text) if text.isascii() else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LATEST:  # NaN is not, either
        raise Invalid(f"{name} must be seconds since 1970, not {show(text)}")
    return seconds


def _limit(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= most:
        return int(text)
    raise Invalid(f"limit must be a whole number from 1 to {most}, not {show(text)}")
