"""Warns at submit of a job that no host could ever hold."""

from __future__ import annotations

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Demand, Job
from rq_broker.planner import could_ever_fit

REMEMBERED_BYTES = 8 << 20
"""Memory of the demands whose warning one process remembers, so that a repeated submit reads no
hosts: 10,000 of one instance."""


class SubmitWarnings:
    """Finds the warnings; one holds until the capacity of its type changes."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._remembered = BoundedCache[tuple[str, Demand], tuple[str, str | None]](
            REMEMBERED_BYTES
        )
        """(type, demand) → number of the last change of capacity, and the warning."""

    async def warning(self, demand: Demand, job: Job) -> str | None:
        """Return the warning for a job just submitted, or None; a type without hosts has none."""
        key = (job.type, demand)
        remembered = self._remembered.get(key)
        if remembered is not None and remembered[0] == job.capacity_number:
            return remembered[1]
        hosts = await self._snapshots.read_hosts(job.type)
        reason = could_ever_fit(hosts, demand) if hosts else None
        warning = reason.text if reason else None
        self._remembered.put(key, (job.capacity_number, warning), demand.bytes)
        return warning
