"""Checks the shapes: what each stands for, its first job's priority, and its jobs."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.indexes import check_members, with_other_sizes
from rq_broker.store.audit.walk import Walk
from rq_broker.store.keys import digest

PAGE = 64
"""Shapes read by one call; see jobs.PAGE."""


async def check_shapes(walk: Walk) -> None:
    """Check all shapes that a queued job has, or that `shapes` or `heads` names."""
    members = walk.tally.members
    names = {name.removeprefix("shape:") for name in members if name.startswith("shape:")}
    names.update(name for name, _ in await walk.entries("shapes", "HSCAN"))
    names.update(name for name, _ in await walk.entries("heads"))
    listed = sorted(names)
    for start in range(0, len(listed), PAGE):
        page = listed[start : start + PAGE]
        for name, row in zip(page, await walk.shapes(page), strict=True):
            members[f"shape:{name}"] += 0  # so that one without queued jobs is compared as well
            _check_shape(walk, name, row)
    for name in await with_other_sizes(walk, "shape:", "ZCARD"):
        await check_members(walk, name, {Status.QUEUED})


def _check_shape(walk: Walk, name: str, row: Any) -> None:
    """Check that `shapes` and `heads` have the shape if and only if it has queued jobs."""
    demand = row.demand or None
    head = float(row.head) if row.head else None
    expected = float(row.first) if row.first else None
    waits = expected is not None
    is_right = demand is not None and digest(demand) == name if waits else demand is None
    subject = f"shape {name}"
    walk.check(is_right, subject, _describe_demand(demand, waits=waits))
    walk.check(head == expected, subject, _describe_head(head, expected))


def _describe_demand(demand: str | None, *, waits: bool) -> str:
    if demand is None:
        return "has no demand in shapes"
    if not waits:
        return "is in shapes but has no queued job"
    return f"has another demand in shapes: {demand}"


def _describe_head(head: float | None, expected: float | None) -> str:
    if head is None:
        return "is not in heads but has queued jobs"
    if expected is None:
        return "is in heads but has no queued job"
    return f"has the priority {head} in heads, not {expected}"
