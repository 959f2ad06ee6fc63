"""Warns at submit of a job that would never be granted as things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain.arrays import Array
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand, Job
from rq_broker.domain.planning import Snapshot
from rq_broker.planner import Reason, beyond_limits, could_ever_fit

REMEMBERED_BYTES = 8 << 20
"""Memory of the demands whose warning one process remembers, so that a repeated submit reads no
hosts: 10,000 of one instance."""


class Warnings(NamedTuple):
    """What to warn a client of that has submitted a job."""

    job: str | None
    """Why the job would never be granted as things are."""
    type: str | None
    """What is odd about its type."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What was found for a demand."""

    capacity_number: str
    """Number of the type's last change of capacity, or of limits."""
    warnings: Warnings
    """Those that do not depend on the owner."""
    limits: Mapping[str, Amounts]


class SubmitWarnings:
    """Finds the warnings; one holds until the capacity or the limits of its type change."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._remembered = BoundedCache[tuple[str, Demand], _Remembered](REMEMBERED_BYTES)

    async def warnings(self, demand: Demand, job: Job | Array) -> Warnings:
        """Return the warnings for a job, or an array, just submitted; `demand` of one job."""
        key = (job.type, demand)
        remembered = self._remembered.get(key)
        if remembered is None or remembered.capacity_number != job.capacity_number:
            state = await self._snapshots.read_state(job.type)
            found = _without_owner(job.type, state.hosts, demand)
            remembered = _Remembered(job.capacity_number, found, state.policy.limits)
            self._remembered.put(key, remembered, demand.bytes)
        if remembered.warnings.job is None and remembered.limits:
            reason = beyond_limits(remembered.limits, job.owner_id, demand)
            return remembered.warnings._replace(job=reason.text if reason else None)
        return remembered.warnings


def _without_owner(type_: str, hosts: Mapping[str, Host], demand: Demand) -> Warnings:
    if not hosts:
        return Warnings(None, f"type {type_} has no host yet: its jobs wait until there is one")
    reason = could_ever_fit(hosts, demand)
    return Warnings(reason.text if reason else None, None)


def never_granted(state: Snapshot, owner: str, demand: Demand) -> Reason | None:
    """Return why an owner's demand would never be granted as things are, or None."""
    return could_ever_fit(state.hosts, demand) or beyond_limits(state.policy.limits, owner, demand)
