"""Types over HTTP: their counts and their policy."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.type_warning import type_warning
from rq_broker.api import bodies
from rq_broker.api.access import identity_of
from rq_broker.api.own import shown_policy
from rq_broker.api.paths import type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok, warned
from rq_broker.api.views import AcknowledgedView, TypeView
from rq_broker.domain.policy import Policy


class TypeEndpoints:
    """The endpoints /v1, /types/{type} and /types/{type}/losses."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker = snapshots.broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1", self.types),
            Route("/types/{type}", self.policy),
            Route("/types/{type}", self.set_policy, methods=["PUT"]),
            Route("/types/{type}", self.patch_policy, methods=["PATCH"]),
            Route("/types/{type}", self.drop_type, methods=["DELETE"]),
            Route("/types/{type}/losses", self.acknowledge_losses, methods=["DELETE"]),
        ]

    async def types(self, request: Request) -> Response:
        """Count the jobs of every type that the caller may use, by status."""
        uses = identity_of(request).uses
        counts = await self._broker.types()
        return ok({type_: counted for type_, counted in counts.items() if uses(type_)})

    async def policy(self, request: Request) -> Response:
        """Read the policy and the counts of a type."""
        type_ = type_of(request)
        return await self._type(type_, shown_policy(request, await self._broker.policy(type_)))

    async def set_policy(self, request: Request) -> Response:
        """Change the given fields of the policy of a type."""
        type_ = type_of(request)
        changes = bodies.policy(await read_json(request))
        return await self._type(type_, await self._broker.set_policy(type_, changes))

    async def patch_policy(self, request: Request) -> Response:
        """Change what is named of the policy of a type, and nothing else: a JSON Merge Patch."""
        type_ = type_of(request)
        patch = bodies.policy_patch(await read_json(request))
        return await self._type(type_, await self._broker.patch_policy(type_, patch))

    async def drop_type(self, request: Request) -> Response:
        """Forget an empty type, its policy and its signing keys."""
        await self._broker.drop_type(type_of(request))
        return ok({})

    async def acknowledge_losses(self, request: Request) -> Response:
        """Acknowledge the losses of a type's state, and count them: no probe tells of them more."""
        count = await self._broker.acknowledge_losses(type_of(request))
        return ok(AcknowledgedView(count))

    async def _type(self, type_: str, policy: Policy) -> Response:
        counts, state = await asyncio.gather(
            self._broker.counts(type_), self._snapshots.read_state(type_)
        )
        warning = type_warning(type_, policy, state.hosts, counts)
        return ok(TypeView(type_, policy, counts), **warned(warning))
