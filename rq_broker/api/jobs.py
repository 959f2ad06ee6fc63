"""Jobs over HTTP: submit, list, read, update, withdraw, and the attempts to call back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from msgspec.structs import replace as with_fields
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.explain import Explainer
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import SubmitWarnings
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.api import bodies, pagination
from rq_broker.api.access import identity_of
from rq_broker.api.arrays import ArrayCalls
from rq_broker.api.etags import (
    etag,
    expected_versions,
    is_known,
    not_modified,
    refuse_for_array,
    refuse_line,
)
from rq_broker.api.idempotency import REPLAYED, idempotency_key
from rq_broker.api.moves import Moves
from rq_broker.api.others import OtherView, others_of, resources_of
from rq_broker.api.own import (
    attempt_view,
    check_submission,
    job_view,
    limits_of,
    owners_of,
    show_refused,
)
from rq_broker.api.paths import job_of, location, type_of
from rq_broker.api.reason_fields import warned_of, why_fields
from rq_broker.api.request_body import read, read_json
from rq_broker.api.responses import PRIVATE, Pieces, created, ok, warned
from rq_broker.api.submit import read_submission
from rq_broker.api.waiting import Waits, refuse_array, refuse_wait
from rq_broker.domain.arrays import ArraySubmission
from rq_broker.domain.correlation import Correlation
from rq_broker.domain.errors import Conflict, Invalid
from rq_broker.domain.job_log import log_submitted
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Page

HOLD_WARNINGS = {
    "hold_lost": "some of its grant is neither used nor held: others filled its host; see explain",
    "server_unseen": "a server that it named was never seen by a source of its type; see explain",
}
"""Job.trouble → the warning that the answer to `read` has."""


class JobEndpoints:
    """The endpoints below /v1/{type}."""

    def __init__(
        self,
        snapshots: SnapshotReader,
        explainer: Explainer,
        callback_base: str | None,
        egress: Egress | None,
        waits: Waits,
    ) -> None:
        self._broker = snapshots.broker
        self._snapshots = snapshots
        self._waits = waits
        self._lists = pagination.Lists(snapshots.broker)
        self._explainer = explainer
        self._moves = Moves(snapshots.broker, explainer)
        self._reasons = ReasonReader(snapshots)
        self._callback_base = callback_base
        self._egress = egress
        self._warnings = SubmitWarnings(snapshots)
        self._arrays = ArrayCalls(snapshots.broker, self._reasons, self._warnings)

    def routes(self) -> list[Route]:
        """List the routes, the busiest first."""
        return [
            Route("/v1/{type}", self.submit, methods=["POST"]),
            Route("/v1/{type}", self.page),
            Route("/v1/{type}/{request_id}", self.read),
            Route("/v1/{type}/{request_id}", self.update, methods=["POST"]),
            Route("/v1/{type}/{request_id}", self.withdraw, methods=["DELETE"]),
            Route("/v1/{type}/{request_id}/attempts", self.attempts),
        ]

    async def submit(self, request: Request) -> Response:
        """Submit a job: it is put in the queue."""
        type_ = type_of(request)
        key = idempotency_key(request)
        body, asker = await read(request), identity_of(request)
        new = read_submission(body, self._callback_base, self._egress, asker)
        if correlation := Correlation.of(request.scope["headers"]):
            new = with_fields(new, correlation=correlation)
        if isinstance(new, ArraySubmission):
            return await self._arrays.submit(request, type_, new, key)
        check_submission(request, new)
        try:
            job = await self._broker.submit(type_, new, key, limits_of(request))
        except Conflict as refusal:
            show_refused(request, refusal)
            raise
        log_submitted(job)
        shown = job_view(request, job)
        warnings = await self._warnings.warnings(new.shape.demand, job, new.data)
        if warnings.job:
            shown = shown.with_fields(**warned_of(warnings.job))
        headers = [etag(job), REPLAYED] if job.replayed else [etag(job)]
        path = location(request, "v1", type_, new.request_id)
        return created(shown, path, headers, **warned(warnings.beside))

    async def page(self, request: Request) -> Response:
        """List jobs in priority order: all of them as a stream, or one page."""
        type_ = type_of(request)
        listing = pagination.listing(request.query_params)
        listing = replace(listing, owners=owners_of(request))
        by_place = listing.position is not None and listing.owners is not None
        if by_place:
            if listing.status != Status.QUEUED:
                raise Invalid("from goes with status=queued, as you see the jobs of some owners")
            listing = replace(listing, owners=None)  # each place is told, and whose it is if yours
        view: pagination.View = partial(job_view, request)
        if listing.limit is not None:
            page = await self._lists.page(type_, listing, listing.limit)
            beside: dict[str, Any] = {} if page.count is None else {"count": page.count}
            if by_place:
                own, beside["others"] = await self._apart(request, type_, page.jobs)
                page = replace(page, jobs=own, next=None)  # a cursor would name another's job
            forecasts = None
            if listing.with_eta:
                forecasts = await self._explainer.forecasts(type_, page.jobs)
            if listing.with_reason:
                view = await self._view_with_reasons(request, type_, page.jobs)
            if page.line:
                beside["line"] = page.line
            jobs = await self._lists.array(page.jobs, view, forecasts)
            next_cursor = pagination.opaque(page.next) if page.next else None
            return ok(jobs, next=next_cursor, **beside)
        first = await self._lists.first_page(type_, listing)
        if request.method == "HEAD":
            # The answer has no body, so no further page is read.
            first = Page((), None, line=first.line)
        chunks = self._lists.stream(type_, listing, first, view)
        return Pieces(chunks, media_type="application/json", headers=PRIVATE)

    async def _apart(
        self, request: Request, type_: str, jobs: Sequence[Job]
    ) -> tuple[tuple[Job, ...], list[OtherView]]:
        """Return the jobs of the caller's owners, and what is told of the others."""
        owns = identity_of(request).owns
        others = [job for job in jobs if not owns(job.owner_id)]
        resources = await resources_of(self._snapshots, type_) if others else ()
        return tuple(job for job in jobs if owns(job.owner_id)), others_of(others, resources)

    async def _view_with_reasons(
        self, request: Request, type_: str, jobs: Sequence[Job]
    ) -> pagination.View:
        """Return what shows these jobs, the queued ones with the reason why they wait."""
        discreet = limits_of(request) is not None
        reasons = await self._reasons.reasons(type_, jobs, discreet=discreet)
        by_id = {job.id: reason for job, reason in zip(jobs, reasons, strict=True)}

        def view(job: Job) -> JobView:
            shown = job_view(request, job)
            queued = job.status is Status.QUEUED
            return shown.with_fields(**why_fields(by_id[job.id])) if queued else shown

        return view

    async def read(self, request: Request) -> Response:
        """Read one job; if it is queued, with the reason why it waits."""
        type_, request_id = job_of(request)
        if (array := await self._arrays.find(request)) is not None:
            refuse_wait(request)
            return ok(await self._arrays.read(request, array))
        job = await self._waits.read(request, type_, request_id)
        if is_known(request, job):
            return not_modified(job)
        view = job_view(request, job)
        if job.status is Status.QUEUED:
            discreet = limits_of(request) is not None
            reason = await self._reasons.reason(type_, job, discreet=discreet)
            view = view.with_fields(**why_fields(reason))
        if job.trouble:
            view = view.with_fields(warning=HOLD_WARNINGS[job.trouble])
        return ok(view, [etag(job)])

    async def update(self, request: Request) -> Response:
        """Change a job: its status, its place in line, or how long it will hold."""
        type_, request_id = job_of(request)
        change = bodies.update(await read_json(request))
        owners, versions = owners_of(request), expected_versions(request)
        if (array := await self._arrays.find(request)) is not None:
            refuse_for_array(versions)
            await self._arrays.update(request, array, change)
        elif isinstance(change, bodies.Reorder):
            return ok(await self._moves.move(request, type_, request_id, change, versions))
        elif isinstance(change, bodies.NewExpected):
            refuse_line(versions)
            await self._broker.set_expected(
                type_, request_id, change.seconds, owners, versions=versions
            )
        else:
            refuse_line(versions)
            await self._broker.transition(
                type_,
                request_id,
                change.to,
                owners,
                fence=change.fence,
                error=change.error,
                servers=change.servers,
                is_limited=limits_of(request) is not None,
                versions=versions,
            )
        return ok({})

    async def withdraw(self, request: Request) -> Response:
        """Delete a job and release what it holds."""
        (type_, request_id), key = job_of(request), idempotency_key(request)
        owners, versions = owners_of(request), expected_versions(request)
        if (array := await self._arrays.find(request)) is not None:
            refuse_for_array(versions)
            replayed = await self._arrays.withdraw(request, array, key)
        else:
            refuse_line(versions)
            replayed = await self._broker.withdraw(
                type_, request_id, key, owners, versions=versions
            )
        if replayed:
            return ok({}, headers=[REPLAYED], same=True)
        return ok({})

    async def attempts(self, request: Request) -> Response:
        """List the attempts to deliver the callbacks of a job, oldest first."""
        type_, request_id = job_of(request)
        refuse_array(request_id, "list its jobs, and read the attempts of each")
        attempts = await self._broker.attempts(type_, request_id, owners_of(request))
        return ok([attempt_view(request, attempt) for attempt in attempts])
