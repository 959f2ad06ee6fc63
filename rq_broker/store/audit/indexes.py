"""Checks that no set of members names a job that does not belong there."""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet

from rq_broker.domain.jobs import STORED_STATUSES, Status
from rq_broker.store.audit.walk import KINDS_READ, PAGE, Walk

ALLOWED: Mapping[str, AbstractSet[str]] = {
    "deliveries": {Status.GRANTED},
    "prompt": {Status.GRANTED},
    "deadlines": set(Status) - {Status.QUEUED},
    "own_priority": set(STORED_STATUSES),
    "passed": {Status.QUEUED},
    "forecasts": {Status.QUEUED},
    "unheld": {Status.RUNNING},
}
"""Index of members → the statuses of the jobs that it may name."""
_SCANS = {"own_priority": ("SCARD", "SSCAN"), "passed": ("HLEN", "HSCAN"),
          "forecasts": ("HLEN", "HSCAN")}  # fmt: skip
"""Index → the commands that count and list its members; those of a sorted set where not listed."""


async def check_indexes(walk: Walk) -> None:
    """Check the deliveries, the deadlines, and the facts about waiting jobs.

    Each job says which indexes name it, so only an index with more members can name others.
    """
    await _check_parked(walk)
    for name, allowed in ALLOWED.items():
        count, scan = _SCANS.get(name, ("ZCARD", "ZSCAN"))
        if await walk.command(count, name) != walk.tally.members[name]:
            await check_members(walk, name, set(allowed), command=scan)


async def _check_parked(walk: Walk) -> None:
    """Check that the sweep knows each receiver where callbacks are parked."""
    listed = [receiver for receiver, _ in await walk.entries("parked")]
    for receiver in walk.tally.parked_at.difference(listed):
        text = "has parked callbacks but is not listed in parked"
        walk.fault(f"receiver {receiver}", text)
    for receiver in listed:
        await check_members(walk, f"parked:{receiver}", {Status.GRANTED})


async def check_members(walk: Walk, name: str, allowed: set[str], command: str = "ZSCAN") -> None:
    """Check that a zset, hash or set names only jobs in the allowed statuses."""
    async for page in walk.pages(command, name):
        await check_listed(walk, name, [member for member, _ in page], allowed)


async def check_listed(walk: Walk, name: str, members: list[str], allowed: set[str]) -> None:
    """Check that members of a zset, hash or set are jobs in the allowed statuses."""
    statuses = [status for status in STORED_STATUSES if status in allowed]
    sets = [f"status:{status}" for status in statuses]
    kind = "job" if len(statuses) == len(STORED_STATUSES) else f"{' or '.join(statuses)} job"
    for member, scores in zip(members, await walk.scores(sets, members), strict=True):
        listed = any(score is not None for score in scores)
        walk.check(listed, name, f"names {member}, which is no {kind}")


async def with_other_sizes(walk: Walk, kind: str, command: str) -> list[str]:
    """List the sets of one kind whose size differs from the number of jobs that belong in them.

    The jobs themselves are known to be in these sets, so only a set whose size differs can name
    other jobs.
    """
    names = [name for name in walk.tally.members if name.startswith(kind)]
    differing = []
    for start in range(0, len(names), PAGE):
        page = names[start : start + PAGE]
        sizes = await walk.pipeline((command, walk.keys.of(name)) for name in page)
        for name, size in zip(page, sizes, strict=True):
            if size is None:
                walk.wrong_kind(name, KINDS_READ[command[0]])
            elif size != walk.tally.members[name]:
                differing.append(name)
    return differing
