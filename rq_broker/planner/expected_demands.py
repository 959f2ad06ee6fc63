"""Which instances are to be expected, where hosts have devices: as those that wait or run now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.fragmentation import Fragmentation, judge, workload_of


def fragmentation_for(snapshot: Snapshot, weights: Mapping[str, float]) -> Fragmentation | None:
    """Return what judges hosts by the jobs of a snapshot; None if there are none."""
    counts: Counter[Instance] = Counter()
    for demand, jobs in _demands(snapshot):
        for instance, number in Counter(demand.instances).items():
            counts[tuple(instance)] += number * jobs
    workload = workload_of(counts)
    return judge(workload, tuple(sorted(weights.items()))) if workload else None


def _demands(snapshot: Snapshot) -> Iterator[tuple[Demand, int]]:
    yield from snapshot.running.values()
    for waiting in snapshot.waiting:
        yield waiting.shape.demand, waiting.count
