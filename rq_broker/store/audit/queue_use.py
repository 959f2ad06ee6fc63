"""Checks what owners take of the queue: how many of their jobs wait, and the bytes of all."""

from __future__ import annotations

from rq_broker.domain.jobs import BESIDE, Status
from rq_broker.store.audit.walk import PAGE, Walk
from rq_broker.store.keys import job_of
from rq_broker.store.records import pairs

WAITING = (Status.QUEUED, BESIDE)
"""The statuses in Redis of jobs that wait."""
_SUMS = ("waiting", "bytes")


def count_queue_use(walk: Walk, status: str, owner: str, size: str) -> None:
    """Add a job to the tally; `size` is its field `bytes`, '' for a job that is not counted."""
    if size.isdecimal():
        walk.tally.members[f"bytes:{owner}"] += int(size)
        walk.tally.members[f"waiting:{owner}"] += status in WAITING


async def check_queue_use(walk: Walk) -> None:
    """Compare the sums of owners with their jobs, and the sum of all with those."""
    stored = {name: dict(await walk.entries(name, "HSCAN")) for name in _SUMS}
    members = walk.tally.members
    owners = {*stored["waiting"], *stored["bytes"]} | {
        name.removeprefix("bytes:") for name in members if name.startswith("bytes:")
    }
    for owner in sorted(owners):
        sums = [stored[name].get(owner, "0") for name in _SUMS]
        if sums != [str(members[f"{name}:{owner}"]) for name in _SUMS]:
            await _check_owner(walk, owner)
    total, by_owner = await walk.pipeline(
        (("HGET", walk.keys.base, "bytes"), ("HGETALL", walk.keys.of("bytes")))
    )
    sizes = pairs(by_owner or ()).values()
    owned = sum(int(size) for size in sizes if size.isdecimal())
    walk.check(int(total or 0) == owned, "bytes", f"are {total or 0} but owners have {owned}")


async def _check_owner(walk: Walk, owner: str) -> None:
    """Count the jobs of one owner anew; an owner that submits meanwhile is let pass."""
    before = await _stored(walk, owner)
    waiting = size = 0
    async for page in walk.pages("ZSCAN", f"owner:{owner}"):
        names = [walk.keys.of("job", job_of(member)[1]) for member, _ in dict(page).items()]
        for start in range(0, len(names), PAGE):
            rows = await walk.pipeline(
                ("HMGET", name, "status", "bytes", "owner") for name in names[start : start + PAGE]
            )
            for status, bytes_, owned_by in filter(None, rows):
                if bytes_ and bytes_.isdecimal() and owned_by == owner:
                    size += int(bytes_)
                    waiting += status in WAITING
    if await _stored(walk, owner) == before:
        for name, stored, counted in zip(_SUMS, before, (waiting, size), strict=True):
            text = f"has {stored} in {name} but its jobs have {counted}"
            walk.check(stored == str(counted), f"owner {owner}", text)


async def _stored(walk: Walk, owner: str) -> list[str]:
    return [
        value or "0"
        for value in await walk.pipeline(("HGET", walk.keys.of(name), owner) for name in _SUMS)
    ]
