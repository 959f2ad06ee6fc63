"""Questions about waiting over HTTP: why does it, for how long, and what would be if."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.explain import Answers
from rq_broker.api import bodies
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.egress.rules import Egress


class Questions:
    """The endpoints that ask the planner. None changes a job."""

    def __init__(self, answers: Answers, callback_base: str | None, egress: Egress | None) -> None:
        self._answers = answers
        self._callback_base = callback_base
        self._egress = egress

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/{type}/{request_id}/explain", self.explain),
            Route("/types/{type}/what-if", self.what_if, methods=["POST"]),
        ]

    async def explain(self, request: Request) -> Response:
        """Explain why a job waits, for what, and for how long yet."""
        type_ = type_name(request.path_params["type"])
        return ok(await self._answers.explanation(type_, request.path_params["request_id"]))

    async def what_if(self, request: Request) -> Response:
        """Answer for a job not submitted, or say whose ETA a reorder would move."""
        type_ = type_name(request.path_params["type"])
        asked = bodies.what_if(await read_json(request), self._callback_base, self._egress)
        return ok(await self._answers.what_if(type_, asked))
