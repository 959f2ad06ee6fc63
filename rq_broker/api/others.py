"""What a list by places tells of the jobs of others: where in line they are, and how big."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rq_broker.admission import waiting_sums
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.api.sizes import instances_of, times_of
from rq_broker.domain.jobs import Job
from rq_broker.domain.representation import Count, JsonObject

_MOST_KINDS = 20
"""Sizes of instances that are told of one job; its others are one more, without a resource."""


class OtherView(JsonObject, frozen=True):
    """The job of another owner, without anything that names it or could."""

    position: Count
    instances: list[dict[str, int]]


OTHERS: Mapping[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "position": {"type": "integer", "minimum": 1, "description": "1 for the next in line."},
            "instances": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": {"type": "integer", "minimum": 0},
                    "required": ["count"],
                    "description": "Resource → amount, for resources that hosts of the type have, "
                    "and `count` instances of that size. Of elastic ones the fewest.",
                },
            },
        },
        "required": ["position", "instances"],
        "additionalProperties": False,
    },
}
"""The schema of a list of them, beside the list of jobs."""


async def resources_of(snapshots: SnapshotReader, type_: str) -> frozenset[str]:
    """Return the resources that hosts of a type have."""
    snapshot, _ = await snapshots.read_capacity(type_)
    return waiting_sums.resources_of(snapshot.hosts.values())


def others_of(jobs: Iterable[Job], resources: Collection[str]) -> list[OtherView]:
    """Return what is told of jobs that wait in line."""
    return [OtherView(job.position, _sizes(job.data, resources)) for job in jobs if job.position]


def _sizes(data: str, resources: Collection[str]) -> list[dict[str, int]]:
    kinds = Counter[tuple[tuple[str, int], ...]]()
    for instance in instances_of(data):
        times = times_of(instance)
        size = tuple(
            (name, amount)
            for name, amount in sorted(instance.items())
            if name in resources and type(amount) is int
        )
        kinds[size] += times if type(times) is int else 1
    rest = sum(times for _, times in kinds.most_common()[_MOST_KINDS:])
    shown = [{**dict(size), "count": times} for size, times in kinds.most_common(_MOST_KINDS)]
    return [*shown, {"count": rest}] if rest else shown
