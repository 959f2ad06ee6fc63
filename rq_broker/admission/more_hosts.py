"""Answers what would be granted with more hosts than there are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rq_broker.admission.forecaster import Forecaster
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import HostNotFound
from rq_broker.domain.planning import Grant, OwnedJob
from rq_broker.planner import ForecastChange
from rq_broker.planner.forecasting.growth import grown_plan_steps, growth_steps

SHOWN_HEADS, MOST_SHOWN_HEADS = 32, 256
"""Jobs of each shape that are planned at first, and where all of them would be granted. With more,
the answer counts further and reads more."""
MOST_ADDED = 1000
"""Hosts that a what-if may add: bounds the time of its plan."""


@dataclass(frozen=True, slots=True)
class AddedHosts:
    """Hosts that are imagined, all alike."""

    count: int
    like: str = ""
    """The host that they are like; '' where `host` says it."""
    host: Host | None = None


@dataclass(frozen=True, slots=True)
class MoreHosts:
    """What would be with more hosts."""

    hosts: tuple[Host, ...]
    """Those that were added."""
    granted: tuple[Grant, ...]
    """What would be granted at once beyond what is granted anyway."""
    anyway: int
    is_complete: bool
    """Whether these are all."""
    is_paused: bool
    changes: tuple[ForecastChange, ...]
    """Of the first job of each shape."""

    @property
    def jobs(self) -> list[OwnedJob]:
        """The jobs that would start at once."""
        return [OwnedJob(grant.head.request_id, grant.shape.owner) for grant in self.granted]

    @property
    def amounts(self) -> dict[str, int]:
        """What these would have, all together."""
        total = Counter[str]()
        for grant in self.granted:
            for instance in grant.demand.instances:
                for resource, amount in instance:
                    total[resource] += amount
        return dict(sorted(total.items()))


async def with_more_hosts(
    snapshots: SnapshotReader, forecaster: Forecaster, type_: str, added: Sequence[AddedHosts]
) -> MoreHosts:
    """Plan and forecast a type as if it had more hosts; nothing is written.

    Raises:
        HostNotFound: One that they are to be like is not there.
    """
    broker = snapshots.broker
    window, line = await asyncio.gather(
        snapshots.read(type_, heads=SHOWN_HEADS, with_held=True), broker.line(type_)
    )
    hosts = _imagined(window.snapshot.hosts, added)
    plan = await snapshots.planning.run(
        type_, grown_plan_steps(window.snapshot, hosts), inline=False
    )
    if not plan.is_complete:
        window = await snapshots.read(type_, heads=MOST_SHOWN_HEADS, with_held=True)
        steps = grown_plan_steps(window.snapshot, hosts)
        plan = await snapshots.planning.run(type_, steps, inline=False)
    held = window.held
    assert held is not None  # it was asked for
    capacity = replace(window.snapshot, waiting=(), passed={}, holds=held.holds)
    changes = await forecaster.run(
        type_, growth_steps(capacity, hosts, line, held.demands, clock=time.thread_time)
    )
    return MoreHosts(
        tuple(hosts.values()),
        plan.grants,
        plan.anyway,
        plan.is_complete,
        window.snapshot.policy.paused,
        changes,
    )


def _imagined(known: Mapping[str, Host], added: Sequence[AddedHosts]) -> dict[str, Host]:
    """Return the hosts that are added, empty, under names that no host has."""
    hosts: dict[str, Host] = {}
    for some in added:
        like = some.host or known.get(some.like)
        if like is None or (like.dropped and not some.host):
            raise HostNotFound(f"there is no host {some.like} that others could be like")
        number = 0
        for _ in range(some.count):
            name = ""
            while not name or name in known or name in hosts:
                number += 1
                name = f"{like.name}+{number}"
            hosts[name] = replace(
                like, name=name, used={}, held={}, device_used={}, device_held={}, source=""
            )
    return hosts
