"""Jobs over HTTP: submit, list, read, update, withdraw, and how calling back went."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from rq_broker.admission.snapshot import Outlook
from rq_broker.admission.waiting_reason import Reasons, Warnings
from rq_broker.api import bodies, pagination
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.api.views import attempt_json
from rq_broker.domain.jobs import Status
from rq_broker.domain.representation import job_json
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Page


class Jobs:
    """The endpoints of /v1/{type}."""

    def __init__(self, outlook: Outlook, callback_base: str | None, egress: Egress | None) -> None:
        self._broker = outlook.broker
        self._reasons = Reasons(outlook)
        self._callback_base = callback_base
        self._egress = egress
        self._warnings = Warnings(outlook)

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
        """Put a job in line."""
        type_ = type_name(request.path_params["type"])
        new = bodies.submission(await read_json(request), self._callback_base, self._egress)
        job = await self._broker.submit(type_, new)
        location = f"/v1/{quote(type_, safe='')}/{quote(new.request_id, safe='')}"
        shown = job_json(job)
        if warning := await self._warnings.warning(new.shape.demand, job):
            shown["Warning"] = warning
        return ok(shown, 201, [(b"location", location.encode())])

    async def page(self, request: Request) -> Response:
        """List jobs in priority order: all of them, streamed, or a page."""
        type_ = type_name(request.path_params["type"])
        asked = pagination.listing(request.query_params.multi_items())
        if asked.limit is not None:
            page = await pagination.page(self._broker, type_, asked, asked.limit)
            following = pagination.opaque(page.next) if page.next else None
            return ok([job_json(job) for job in page.jobs], next=following)
        first = await pagination.begin(self._broker, type_, asked)
        if request.method == "HEAD":
            first = Page((), None)  # nobody would see the rest
        chunks = pagination.stream(self._broker, type_, asked, first)
        return StreamingResponse(chunks, media_type="application/json")

    async def read(self, request: Request) -> Response:
        """Show one job; while it waits, also why."""
        type_, request_id = _named(request)
        job = await self._broker.read(type_, request_id)
        shown = job_json(job)
        if job.status is Status.QUEUED:
            shown["Reason"] = await self._reasons.reason(type_, job)
        return ok(shown)

    async def update(self, request: Request) -> Response:
        """Give a job another place in line, or another status."""
        type_, request_id = _named(request)
        change = bodies.update(await read_json(request))
        if isinstance(change, bodies.Reorder):
            await self._broker.reorder(type_, request_id, change.mode, change.value)
        else:
            await self._broker.transition(
                type_,
                request_id,
                change.to,
                fence=change.fence,
                error=change.error,
                servers=change.servers,
            )
        return ok({})

    async def withdraw(self, request: Request) -> Response:
        """Take a job out altogether, releasing what it holds."""
        await self._broker.withdraw(*_named(request))
        return ok({})

    async def attempts(self, request: Request) -> Response:
        """List what came of each attempt to call a job back, oldest first."""
        found = await self._broker.attempts(*_named(request))
        return ok([attempt_json(attempt) for attempt in found])


def _named(request: Request) -> tuple[str, str]:
    params = request.path_params
    return type_name(params["type"]), params["request_id"]
