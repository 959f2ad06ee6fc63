"""Checks the shapes: what each stands for, its first job's priority, and its jobs."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.indexes import check_members, with_other_sizes
from rq_broker.store.audit.walk import Walk
from rq_broker.store.keys import digest


async def check_shapes(walk: Walk) -> None:
    """Check all shapes that a queued job has, or that `shapes` or `heads` names."""
    members = walk.tally.members
    names = {name.removeprefix("shape:") for name in members if name.startswith("shape:")}
    names.update(name for name, _ in await walk.entries("shapes", "HSCAN"))
    names.update(name for name, _ in await walk.entries("heads"))
    for name in names:
        members[f"shape:{name}"] += 0  # so that a shape without queued jobs is compared as well
        await _check_shape(walk, name)
    for name in await with_other_sizes(walk, "shape:", "ZCARD"):
        await check_members(walk, name, {Status.QUEUED})


async def _check_shape(walk: Walk, name: str) -> None:
    """Check that `shapes` and `heads` have the shape if and only if it has queued jobs."""
    # As plain commands: redis-py 7 cannot read the reply of pipeline.zscore from a cluster.
    pipeline = walk.client.pipeline(transaction=True)
    pipeline.execute_command("HGET", walk.keys.of("shapes"), name)
    pipeline.execute_command("ZSCORE", walk.keys.of("heads"), name)
    pipeline.execute_command(
        "ZRANGE", walk.keys.of("shape", name), 0, 0, "WITHSCORES", withscores=True
    )
    demand, head, first = await pipeline.execute()
    expected = first[0][1] if first else None
    is_right = bool(demand) and digest(demand) == name if first else demand is None
    subject = f"shape {name}"
    walk.check(is_right, subject, _describe_demand(demand, waits=bool(first)))
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
