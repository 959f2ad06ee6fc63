"""Checks the sets of owners, and what they take of the queue: how many jobs wait, bytes of all."""

from __future__ import annotations

from rq_broker.domain.jobs import BESIDE, STORED_STATUSES, Status
from rq_broker.store.audit.indexes import check_listed, with_other_sizes
from rq_broker.store.audit.walk import Walk
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
    """Compare the sums and sets of owners with their jobs, and the sum of all with those.

    The jobs themselves are known to be in the sets, so only one with another size can name others.
    """
    grown = set(await with_other_sizes(walk, "owner:", "ZCARD"))
    stored = {name: dict(await walk.entries(name, "HSCAN")) for name in _SUMS}
    members = walk.tally.members
    owners = {*stored["waiting"], *stored["bytes"]} | {
        name.partition(":")[2] for name in members if name.startswith(("bytes:", "owner:"))
    }
    for owner in sorted(owners):
        sums = [stored[name].get(owner, "0") for name in _SUMS]
        differ = sums != [str(members[f"{name}:{owner}"]) for name in _SUMS]
        if differ or f"owner:{owner}" in grown:
            await _check_owner(walk, owner, with_sums=differ)
    total, by_owner = await walk.pipeline(
        (("HGET", walk.keys.base, "bytes"), ("HGETALL", walk.keys.of("bytes")))
    )
    sizes = pairs(by_owner or ()).values()
    owned = sum(int(size) for size in sizes if size.isdecimal())
    walk.check(int(total or 0) == owned, "bytes", f"are {total or 0} but owners have {owned}")


async def _check_owner(walk: Walk, owner: str, *, with_sums: bool) -> None:
    """Check the set of an owner, and its sums; those of one that submits meanwhile are let pass."""
    before = await _stored(walk, owner)
    waiting = size = 0
    cursor = ""
    while cursor != "0":
        page = await walk.owner_page(owner, cursor or "0")
        await check_listed(walk, f"owner:{owner}", page.unlisted, set(STORED_STATUSES))
        waiting, size, cursor = waiting + page.waiting, size + int(page.bytes), page.cursor
    if with_sums and await _stored(walk, owner) == before:
        for name, stored, counted in zip(_SUMS, before, (waiting, size), strict=True):
            text = f"has {stored} in {name} but its jobs have {counted}"
            walk.check(stored == str(counted), f"owner {owner}", text)


async def _stored(walk: Walk, owner: str) -> list[str]:
    return [
        value or "0"
        for value in await walk.pipeline(("HGET", walk.keys.of(name), owner) for name in _SUMS)
    ]
