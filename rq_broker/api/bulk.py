"""Many jobs in one call: submit them, or do one thing to all of them."""

from __future__ import annotations

import asyncio
from collections import Counter

from msgspec.structs import replace as with_fields
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import SubmitWarnings
from rq_broker.api import bulk_bodies
from rq_broker.api.access import identity_of
from rq_broker.api.bulk_actions import Actions
from rq_broker.api.bulk_views import SubmittedManyView, SubmittedView
from rq_broker.api.idempotency import idempotency_key
from rq_broker.api.own import check_submission, job_view, limits_of, show_refused
from rq_broker.api.paths import type_of
from rq_broker.api.reason_fields import warned_of
from rq_broker.api.request_body import read, read_json
from rq_broker.api.responses import ok, shown, warned
from rq_broker.api.submit import read_submission
from rq_broker.domain import errors
from rq_broker.domain.arrays import ArraySubmission
from rq_broker.domain.correlation import Correlation
from rq_broker.domain.job_log import log_submitted
from rq_broker.domain.jobs import Job, Submission
from rq_broker.domain.reasons.reason import Reason
from rq_broker.egress.rules import Egress

_Read = Submission | errors.BrokerError
READ_AT_ONCE = 50
"""Submissions that are parsed before other calls of the process get their turn: 1 to 5 ms."""
_SHOWN_DETAILS = ("same", "data", "full")


class BulkEndpoints:
    """The endpoints /types/{type}/jobs and /types/{type}/actions."""

    def __init__(
        self, snapshots: SnapshotReader, callback_base: str | None, egress: Egress | None
    ) -> None:
        self._broker = snapshots.broker
        self._warnings = SubmitWarnings(snapshots)
        self._callback_base = callback_base
        self._egress = egress
        self._actions = Actions(snapshots.broker, callback_base)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/jobs", self.submit_many, methods=["POST"]),
            Route("/types/{type}/actions", self.act, methods=["POST"]),
        ]

    async def submit_many(self, request: Request) -> Response:
        """Put jobs in the queue, in their order; one that is refused stops no other."""
        type_, key = type_of(request), idempotency_key(request)
        bodies = bulk_bodies.submissions(await read(request, bulk_bodies.MOST_BYTES))
        correlation = Correlation.of(request.scope["headers"])
        read_jobs = []
        for number, body in enumerate(bodies):
            read_jobs.append(self._read(request, body, correlation))
            if number % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        valid = [job for job in read_jobs if isinstance(job, Submission)]
        stored = iter(await self._broker.submit_many(type_, valid, key, limits_of(request)))
        views, beside = [], None
        for body, job in zip(bodies, read_jobs, strict=True):
            outcome = next(stored) if isinstance(job, Submission) else job
            if isinstance(job, Submission) and isinstance(outcome, Job):
                warnings = await self._warnings.warnings(job.shape.demand, outcome, job.data)
                beside = beside or warnings.beside
                views.append(_stored(request, outcome, warnings.job))
            elif isinstance(outcome, errors.BrokerError):
                name = (
                    job.request_id
                    if isinstance(job, Submission)
                    else bulk_bodies.request_id_of(body)
                )
                views.append(_refused(request, name, outcome))
        refused = Counter(view.code for view in views if isinstance(view.code, str))
        answer = SubmittedManyView(tuple(views), len(views) - refused.total(), dict(refused))
        return ok(answer, **warned(beside))

    async def act(self, request: Request) -> Response:
        """Withdraw, requeue, move or end many jobs, each as if it were alone."""
        type_ = type_of(request)
        action = bulk_bodies.action(await read_json(request))
        acted, following = await self._actions.act(request, type_, action)
        return ok(acted, next=following)

    def _read(self, request: Request, body: bytes, correlation: Correlation | None) -> _Read:
        """Return the submission of one job, or why it is refused before Redis is asked."""
        try:
            new = read_submission(body, self._callback_base, self._egress, identity_of(request))
            if isinstance(new, ArraySubmission):
                raise errors.Invalid("count makes an array, which is submitted alone")
            check_submission(request, new)
        except errors.BrokerError as refusal:
            return refusal
        return with_fields(new, correlation=correlation) if correlation else new


def _stored(request: Request, job: Job, warning: Reason | None) -> SubmittedView:
    log_submitted(job)
    data = job_view(request, job)
    if warning:
        data = data.with_fields(**warned_of(warning))
    view = SubmittedView(data.request_id, 201, data)
    return view.with_fields(replayed=True) if job.replayed else view


def _refused(request: Request, name: str | None, refusal: errors.BrokerError) -> SubmittedView:
    if isinstance(refusal, errors.Conflict):
        show_refused(request, refusal)
    details = {key: shown(value) for key, value in refusal.details.items() if key in _SHOWN_DETAILS}
    view = SubmittedView(name, refusal.status, code=refusal.code, error=str(refusal))
    return view.with_fields(**details)
