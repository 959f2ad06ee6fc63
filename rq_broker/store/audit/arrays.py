"""Checks arrays: how many of their jobs are there, and which of these hold capacity."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rq_broker.domain import errors
from rq_broker.domain.arrays import STEP
from rq_broker.domain.jobs import HOLDING
from rq_broker.store import records
from rq_broker.store.audit.walk import ListedJob, Walk

_MEMBER = re.compile(r"\d{16}:(.+)\[\d+\]", re.DOTALL)


def note_arrays(walk: Walk, members: Iterable[str]) -> None:
    """Note the arrays that jobs may belong to, by their names."""
    for member in members:
        if member[-1] == "]" and (match := _MEMBER.fullmatch(member)):
            walk.tally.arrays.add(match[1])


def count_holder(walk: Walk, job: ListedJob) -> None:
    """Note the array of a job, and the job if it holds capacity of one with `at_once`."""
    note_arrays(walk, [job.member])
    if (
        "at_once" in job.fields
        and job.status in HOLDING
        and (match := _MEMBER.fullmatch(job.member))
    ):
        walk.tally.array_holders[match[1]].add(job.member)


async def check_arrays(walk: Walk) -> None:
    """Check the record of each array, and the set of its jobs that hold."""
    for name in sorted(walk.tally.arrays):
        await _check_left(walk, name)
        listed = {member for member, _ in await walk.entries(f"holding:{name}", "SSCAN")}
        holders = walk.tally.array_holders[name]
        for member in sorted(listed - holders):
            walk.fault(f"holding:{name}", f"names {member}, which is no granted or running job")
        for member in sorted(holders - listed):
            walk.fault(f"job {member}", "holds capacity but is not counted for its array")


async def _check_left(walk: Walk, name: str) -> None:
    """Check how many of its jobs the record says are there; other jobs may have such names."""
    count, start, size = 0, 0, 1
    fields: dict[str, str] = {}
    while start < size:
        try:
            reply = await walk.run("read_array", array=name, start=start, limit=STEP, owners=())
        except errors.JobNotFound:
            return
        fields = records.pairs(reply.fields)
        size = int(fields["count"]) if fields.get("count", "").isdecimal() else 0
        count += reply.queued + reply.granted + reply.running + reply.done + reply.error
        start += STEP
    left = fields.get("left", "0")
    text = f"says that {left} of its jobs are there, and {count} are"
    walk.check(left == str(count), f"array {name}", text)
