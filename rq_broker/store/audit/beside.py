"""Checks the jobs that wait beside the line, and what brings them back."""

from __future__ import annotations

from collections import Counter

from rq_broker.domain.jobs import BESIDE, Status
from rq_broker.store.audit.indexes import check_members
from rq_broker.store.audit.walk import PAGE, Walk
from rq_broker.store.keys import job_of


async def check_beside(walk: Walk) -> None:
    """Check alarms, what each job beside the line waits for, and the sets that name it there."""
    holding = {Status.GRANTED, Status.RUNNING}
    await check_members(walk, "alarms", {Status.QUEUED, BESIDE, *holding})
    sizes = Counter[str]()
    async for page in walk.pages("ZSCAN", f"status:{BESIDE}"):
        await _check_page(walk, [member for member, _ in page], sizes)
    names = list(sizes)
    for start in range(0, len(names), PAGE):
        await _check_sets(walk, names[start : start + PAGE], sizes)


async def _check_page(walk: Walk, members: list[str], sizes: Counter[str]) -> None:
    """Check what jobs beside the line say of themselves; adds them to the sizes of the sets."""
    hashes = await walk.pipeline(
        ("HMGET", walk.keys.of("job", job_of(member)[1]), "after", "left") for member in members
    )
    alarms = [score for (score,) in await walk.scores(["alarms"], members)]
    for member, values, alarm in zip(members, hashes, alarms, strict=True):
        after, left = values or (None, None)
        awaited = after.split("\n") if after else []
        sets = [f"dependents:{name}" for name in awaited]
        (scores,) = await walk.scores(sets, [member]) if sets else ([],)
        known = [name for name, score in zip(awaited, scores, strict=True) if score is not None]
        sizes.update(known)
        subject = f"job {member}"
        text = f"waits for {left or 0} jobs but {len(known)} know of it"
        walk.check(int(left or 0) == len(known), subject, text)
        text = "is beside the line and nothing brings it back"
        walk.check(bool(known) or alarm is not None, subject, text)


async def _check_sets(walk: Walk, awaited: list[str], sizes: Counter[str]) -> None:
    """Check that sets of dependents name no other job, and that their end is still to come."""
    counts = await walk.pipeline(("ZCARD", walk.keys.of("dependents", name)) for name in awaited)
    live = [Status.QUEUED, BESIDE, Status.GRANTED, Status.RUNNING]
    scores = await walk.scores([*(f"status:{status}" for status in live), "ended"], awaited)
    for place, name in enumerate(awaited):
        if counts[place] != sizes[name]:
            await check_members(walk, f"dependents:{name}", {BESIDE})
        if all(score is None for score in scores[place]):
            async for page in walk.pages("ZSCAN", f"dependents:{name}"):
                for member, _ in page:
                    walk.fault(f"job {member}", f"waits for {name}, whose end nobody notes")
