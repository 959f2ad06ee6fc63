"""Hosts that are kept for jobs whose promise was missed by far, as simulated futures see them.

Only what is kept as a forecast begins: a promise that is missed by far later on in a future keeps
no hosts there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.jobs import Demand
from rq_broker.domain.line import Line
from rq_broker.domain.planning import Promise, Snapshot
from rq_broker.planner.closest_hosts import choose_hosts
from rq_broker.planner.forecasting.room import Placement, Room, Vector
from rq_broker.planner.packing.host_table import HostTable, free_without_holds
from rq_broker.planner.packing.placer import Placer


@dataclass(frozen=True, slots=True)
class KeptHosts:
    """The hosts that are kept for one job."""

    promise: Promise
    """The job's; its times are seconds from the beginning of the future."""
    needs: Mapping[int, Vector]
    """Host → what the job needs of it."""

    def free_on(self, room: Room) -> dict[int, Vector]:
        """Return what of the job's needs is free: host → amounts."""
        free = {}
        for host, needed in self.needs.items():
            pairs = zip(room.row(host), needed, strict=True)
            amounts = tuple([max(min(free, need), 0) for free, need in pairs])
            if any(amounts):
                free[host] = amounts
        return free


@dataclass(frozen=True, slots=True)
class NamedHosts:
    """The same, with the names of hosts."""

    promise: Promise
    needs: Mapping[str, Amounts]

    def numbered(self, placement: Callable[[Mapping[str, Amounts]], Placement]) -> KeptHosts:
        """Return the same with numbers of hosts; `placement` finds them."""
        return KeptHosts(self.promise, dict(placement(self.needs)))


def hosts_kept(snapshot: Snapshot, line: Line) -> dict[int, NamedHosts]:
    """Return what is kept for the jobs of a line that stand for themselves only, by their IDs."""
    promises = {promise.job_id: promise for promise in snapshot.promises if promise.hosts}
    if not promises:
        return {}
    now = HostTable(snapshot.hosts.values())
    empty = now.with_rows([free_without_holds(snapshot.hosts[name]) for name in now.names])
    kept = {}
    for job in line.jobs:
        promise = promises.get(job.id)
        if promise and promise.request_id == job.request_id and job.weight == 1:
            needs = _needs(line.shapes[job.digest].demand, promise, now, empty)
            if needs is not None:
                start, made = promise.start - snapshot.now, promise.made - snapshot.now
                kept[job.id] = NamedHosts(replace(promise, start=start, made=made), needs)
    return kept


def _needs(
    demand: Demand, promise: Promise, now: HostTable, empty: HostTable
) -> Mapping[str, Amounts] | None:
    """Return what a job needs of its hosts, in the first alternative that they were kept for."""
    chosen = (choose_hosts(Placer(now, option), empty, promise.hosts) for option in demand.options)
    by_name = [{now.names[index]: row for index, row in needs.items()} for needs in chosen if needs]
    as_before = (needs for needs in by_name if needs.keys() == promise.hosts)
    return next(as_before, by_name[0] if by_name else None)
