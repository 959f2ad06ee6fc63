"""Warns at submit of a job that would never be granted as things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain import exact_json
from rq_broker.domain.arrays import Array
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.capacity import COUNT, Amounts, Host
from rq_broker.domain.jobs import Demand, Job
from rq_broker.domain.planning import Snapshot
from rq_broker.planner import Reason, ReasonCode, beyond_limits, could_ever_fit, of_all_options

REMEMBERED_BYTES = 8 << 20
"""Memory of the demands whose warning one process remembers, so that a repeated submit reads no
hosts: 10,000 of one instance."""


class Warnings(NamedTuple):
    """What to warn a client of that has submitted a job."""

    job: Reason | None
    """Why the job would never be granted as things are."""
    beside: str | None
    """What is odd about its type, or about what it needs."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What was found for a demand."""

    capacity_number: str
    """Number of the type's last change of capacity, or of limits."""
    beside: str | None
    """What is odd about its type, or about what it needs."""
    too_large: Mapping[Demand, Reason | None]
    """Why no host could ever hold each of its alternatives; None where one could."""
    limits: Mapping[str, Amounts]
    counting_host: str | None
    """A host with a resource of the name that demands have for the number of instances."""


class SubmitWarnings:
    """Finds the warnings; one holds until the capacity or the limits of its type change."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._remembered = BoundedCache[tuple[str, Demand], _Remembered](REMEMBERED_BYTES)

    async def warnings(self, demand: Demand, job: Job | Array, data: str) -> Warnings:
        """Return the warnings for a job, or an array, just submitted; demand and data of one job.

        Args:
            demand: What the job needs.
            job: The job, or the array.
            data: The client's data, as JSON.
        """
        key = (job.type, demand)
        remembered = self._remembered.get(key)
        if remembered is None or remembered.capacity_number != job.capacity_number:
            state = await self._snapshots.read_state(job.type)
            remembered = _found(job, state.hosts, demand, state.policy.limits)
            self._remembered.put(key, remembered, demand.bytes)
        reason = _never(remembered.too_large, demand, remembered.limits, job.owner_id)
        if remembered.counting_host and not reason and _counts(data):
            reason = Reason(code=ReasonCode.COUNT_RESERVED, host=remembered.counting_host)
        return Warnings(reason, remembered.beside)


def _counts(data: str) -> bool:
    """Return whether some instance in the data of a job has a count."""
    wanted = exact_json.loads(data.encode())
    lists = [needs.get("instances") for needs in (wanted, *(wanted.get("alternatives") or ()))]
    return any(COUNT in instance for listed in lists for instance in listed or ())


def _found(
    job: Job | Array, hosts: Mapping[str, Host], demand: Demand, limits: Mapping[str, Amounts]
) -> _Remembered:
    """Return what does not depend on the job's owner."""
    number = job.capacity_number
    odd = []
    if not hosts:
        odd.append(f"type {job.type} has no host yet: its jobs wait until there is one")
    if not all(instance for option in demand.options for instance in option.instances):
        odd.append("an instance needs nothing: it takes no capacity of the host that it gets")
    beside = "; ".join(odd) or None
    if not hosts:
        return _Remembered(number, beside, dict.fromkeys(demand.options), limits, None)
    counting_host = next((host.name for host in hosts.values() if COUNT in host.capacity), None)
    return _Remembered(number, beside, _too_large(hosts, demand), limits, counting_host)


def _never(
    too_large: Mapping[Demand, Reason | None],
    demand: Demand,
    limits: Mapping[str, Amounts],
    owner: str,
) -> Reason | None:
    """Return why none of a demand's alternatives would ever be granted, None if one would."""
    return of_all_options(
        demand,
        lambda option: (
            too_large[option] or (beyond_limits(limits, owner, option) if limits else None)
        ),
    )


def never_granted(state: Snapshot, owner: str, demand: Demand) -> Reason | None:
    """Return why an owner's demand would never be granted as things are, or None."""
    too_large = _too_large(state.hosts, demand)
    return _never(too_large, demand, state.policy.limits, owner)


def _too_large(hosts: Mapping[str, Host], demand: Demand) -> Mapping[Demand, Reason | None]:
    """Return why no host could ever hold each of a demand's alternatives, None where one could."""
    return {option: could_ever_fit(hosts, option) for option in demand.options}
