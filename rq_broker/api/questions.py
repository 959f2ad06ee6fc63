"""Questions to the planner over HTTP: why a job waits, for how long, and what-if."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.discretion import discreet_explanation
from rq_broker.admission.explain import Explainer
from rq_broker.api import bodies
from rq_broker.api.added_hosts import added_hosts, asks_for_hosts, more_hosts_view
from rq_broker.api.arrays import find_array
from rq_broker.api.moves import what_if
from rq_broker.api.own import imagined_shape, limits_of, owners_of
from rq_broker.api.paths import job_of, type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.api.waiting_views import explanation_view
from rq_broker.domain.errors import NotWaiting
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker


class QuestionEndpoints:
    """The endpoints that run the planner without changing anything."""

    def __init__(
        self,
        broker: Broker,
        explainer: Explainer,
        callback_base: str | None,
        egress: Egress | None,
    ) -> None:
        self._broker = broker
        self._explainer = explainer
        self._callback_base = callback_base
        self._egress = egress

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/{type}/{request_id}/explain", self.explain),
            Route("/types/{type}/what-if", self.what_if, methods=["POST"]),
        ]

    async def explain(self, request: Request) -> Response:
        """Explain why a job waits and forecast its grant, or what has become of its grant."""
        (type_, request_id), owners = job_of(request), owners_of(request)
        array = await find_array(self._broker, type_, request_id, owners)
        if array is not None:
            if array.waiting is None:
                raise NotWaiting(f"no job of {request_id} waits")
            request_id = array.waiting
        answer = await self._explainer.explain_any(type_, request_id, owners)
        limits = limits_of(request)
        return ok(
            explanation_view(answer if limits is None else discreet_explanation(answer, limits))
        )

    async def what_if(self, request: Request) -> Response:
        """Forecast a job that was not submitted, the effect of a reorder, or of more hosts."""
        type_ = type_of(request)
        body = await read_json(request)
        if asks_for_hosts(body):
            grown = await self._explainer.more_hosts(type_, added_hosts(body))
            return ok(more_hosts_view(grown, limits_of(request)))
        proposal = bodies.what_if(body, self._callback_base, self._egress)
        if proposal.shape is not None:
            proposal = replace(proposal, shape=imagined_shape(request, proposal.shape))
        return ok(await what_if(self._explainer, request, type_, proposal))
