"""Who holds a host over HTTP, and for which waiting jobs capacity is kept."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.held_capacity import Held
from rq_broker.admission.reserved import ReservationReader
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.api.holder_views import HostHolderView, ReservedView
from rq_broker.api.paths import host_of, type_of
from rq_broker.api.responses import ok
from rq_broker.domain.job_holds import is_overdue


class HolderEndpoints:
    """The endpoints /types/{type}/hosts/{host}/holders and /types/{type}/reservations."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._reservations = ReservationReader(snapshots)

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/hosts/{host}/holders", self.host_holders),
            Route("/types/{type}/reservations", self.reservations),
        ]

    async def host_holders(self, request: Request) -> Response:
        """List the jobs that hold something of one host, and when each is expected to end."""
        type_, name = host_of(request)
        await self._snapshots.broker.host(type_, name)
        now = await self._snapshots.broker.now(type_)
        return ok(_holders(await self._snapshots.held(type_), name, now))

    async def reservations(self, request: Request) -> Response:
        """List the waiting jobs for which capacity is kept, where, and from when on."""
        reserved = await self._reservations.read(type_of(request))
        return ok([ReservedView.of(each) for each in reserved])


def _holders(held: Held, host: str, now: float) -> list[HostHolderView]:
    """List who holds a host, the earliest expected end first."""
    expected = {row.request_id: row.expected for row in held.rows if host in row.amounts}
    return [
        HostHolderView(
            hold.request_id,
            hold.owner,
            hold.granted,
            hold.ends,
            hold.source,
            is_overdue(now - hold.granted, expected.get(hold.request_id)),
            dict(hold.amounts[host]),
        )
        for hold in held.holds
        if host in hold.amounts
    ]
