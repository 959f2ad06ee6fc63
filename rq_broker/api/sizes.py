"""How much a job asks for in all, by which lists and actions on many jobs may filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from rq_broker.domain.jobs import Job

_SLOT = {"Slots": 1}
"""What a job without instances asks for."""


def asks_for(job: Job, needs: Mapping[str, int]) -> bool:
    """Return whether all instances of a job together ask for at least `needs` (resource → amount).

    Of elastic instances the fewest count. A resource that the job does not name is 0 of it.
    """
    if not needs:
        return True
    amounts = Counter[str]()
    for instance in instances_of(job.data):
        times = times_of(instance)
        for resource in needs:
            amount = instance.get(resource)
            if isinstance(amount, int) and isinstance(times, int):
                amounts[resource] += amount * times
    return all(amounts[resource] >= least for resource, least in needs.items())


def times_of(instance: Mapping[str, Any]) -> Any:
    """Return how many of an instance are asked for, of elastic ones the fewest; as Redis has it."""
    count = instance.get("count", 1)
    return count.get("min", 1) if isinstance(count, dict) else count


def instances_of(data: str) -> list[dict[str, Any]]:
    """Return the instances that the data of a job asks for; without any, that of one slot."""
    try:
        instances = orjson.loads(data).get("instances") or [_SLOT]
    except (orjson.JSONDecodeError, AttributeError):  # Redis may hold anything
        return []
    return [instance for instance in instances if isinstance(instance, dict)]
