"""Checks each job by the status set that lists it: its hash, its holds, and its index entries."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.jobs import Shape, Status, expected_class
from rq_broker.store import records
from rq_broker.store.audit.holds import check_holds
from rq_broker.store.audit.walk import ListedJob, Walk, named
from rq_broker.store.keys import digest, unfold

CALLBACK = ["callback", *(f"callback{piece}" for piece in range(2, 11))]
"""All fields that a folded callback may have, see keys.fold."""
_FIELDS = [
    *("id", "owner", "status", "shape", "created", "fence", "hosts", "demand", "destination"),
    *("expected", "predicted"),
    *CALLBACK,
]


async def check_jobs(walk: Walk, status: Status) -> None:
    """Check the jobs that a status set lists. A job in two status sets is a fault in one."""
    async for page in walk.pages("ZSCAN", f"status:{status}"):
        await _check_page(walk, status, page)


async def _check_page(walk: Walk, status: Status, page: list[tuple[str, float]]) -> None:
    replies = await walk.pipeline(
        command
        for member, _ in page
        for command in (
            ("HMGET", walk.keys.of("job", member[17:]), *_FIELDS),
            ("HGETALL", walk.keys.of("holds", member[17:])),
            ("HGETALL", walk.keys.of("seen", member[17:])),
        )
    )
    jobs = [
        ListedJob(status, member, priority, named(_FIELDS, values))
        for (member, priority), values in zip(page, replies[::3], strict=True)
    ]
    await _check_entries(walk, [job for job in jobs if job.fields])
    for job, holds, seen in zip(jobs, replies[1::3], replies[2::3], strict=True):
        try:
            _check_hash(walk, job)
            check_holds(walk, job, records.pairs(holds), records.pairs(seen))
        except (ValueError, KeyError) as error:
            walk.fault(job.subject, f"cannot be read: {error!r}")


def _check_hash(walk: Walk, job: ListedJob) -> None:
    """Check what the hash says by itself. Raises ValueError or KeyError if it cannot be read."""
    subject, status, fields = job.subject, job.status, job.fields
    if not fields:
        walk.fault(subject, f"is listed as {status} but has no hash")
        return
    says = fields["status"]
    walk.check(says == status, subject, f"is listed as {status} but its hash says {says}")
    walk.check(int(fields["id"]) == job.id, subject, f"has the id {fields['id']} in its hash")
    int(fields["created"])
    highest = walk.tally.highest
    highest["id"] = max(highest["id"], int(fields["id"]))
    highest["fence"] = max(highest["fence"], int(fields.get("fence", 0)))
    demand = fields.get("demand")
    if status == Status.QUEUED:
        walk.check(demand is None, subject, f"is queued but its hash has a demand: {demand}")
    else:
        is_its_demand = demand is not None and digest(demand) == fields["shape"]
        actual = "no demand" if demand is None else f"another demand: {demand}"
        walk.check(is_its_demand, subject, f"is {status} but its hash has {actual}")
        _check_expected(walk, job)
    if status == Status.GRANTED:
        complete = "fence" in fields and "hosts" in fields
        walk.check(complete, subject, "is granted but its hash lacks the fence or the hosts")


def _check_expected(walk: Walk, job: ListedJob) -> None:
    """Check that the demand of a job that does not wait expects what the job says, rounded up."""
    said, demand = job.fields.get("expected"), job.fields.get("demand")
    if demand is not None:
        wanted = expected_class(None if said is None else int(said) / 1000)
        rounded = Shape.parse(demand).expected
        text = f"says it holds {said} ms but its demand expects {rounded} s"
        walk.check(rounded == wanted, job.subject, text)


async def _check_entries(walk: Walk, jobs: list[ListedJob]) -> None:
    """Check the entries that jobs have by owner, shape and callback, and their due deliveries."""
    keys = walk.keys
    callbacks = [digest(unfold(job.fields, "callback")) for job in jobs]
    replies = await walk.pipeline(
        command
        for job, callback in zip(jobs, callbacks, strict=True)
        for command in (
            ("ZSCORE", keys.of("owner", job.fields.get("owner", "")), job.member),
            ("ZSCORE", keys.of("shape", job.fields.get("shape", "")), job.member),
            ("HGET", keys.of("callbacks", callback[:2]), callback[2:]),
            ("ZSCORE", keys.of("deliveries"), job.member),
            ("ZSCORE", keys.of("prompt"), job.member),
            ("ZSCORE", keys.of("parked", job.fields.get("destination", "")), job.member),
        )
    )
    for number, (job, callback) in enumerate(zip(jobs, callbacks, strict=True)):
        by_owner, by_shape, indexed, *delivery = replies[6 * number : 6 * number + 6]
        _count(walk, job, callback)
        _check_priority(walk, job, "owner", by_owner, job.priority)
        expected = job.priority if job.status == Status.QUEUED else None
        _check_priority(walk, job, "shape", by_shape, expected)
        is_indexed = indexed == job.request_id
        other = "no job" if indexed is None else f"job {indexed}"
        walk.check(is_indexed, job.subject, f"has a callback that the index gives to {other}")
        _check_delivery(walk, job, *delivery)


def _count(walk: Walk, job: ListedJob, callback: str) -> None:
    """Count the job for each set that must have it, and none besides."""
    members = walk.tally.members
    members[f"owner:{job.fields.get('owner', '')}"] += 1
    members[f"callbacks:{callback[:2]}"] += 1
    if job.status == Status.QUEUED:
        members[f"shape:{job.fields.get('shape', '')}"] += 1


def _check_priority(walk: Walk, job: ListedJob, kind: str, actual: Any, expected: Any) -> None:
    text = f"has the priority {actual} in the set of its {kind}, not {expected}"
    if actual is None:
        text = f"is not in the set of its {kind}"
    elif expected is None:
        text = f"is {job.status} but in the set of its {kind}"
    walk.check(actual == expected, job.subject, text)


def _check_delivery(
    walk: Walk, job: ListedJob, in_deliveries: Any, in_prompt: Any, parked: Any
) -> None:
    """Check that a granted job's callback is in one of three places, and no other job's is."""
    if parked is not None:
        walk.tally.parked_at.add(job.fields.get("destination", ""))
    scores = {"deliveries": in_deliveries, "prompt": in_prompt, "parked": parked}
    places = [name for name, score in scores.items() if score is not None]
    where = " and ".join(places) or "none of deliveries, prompt and parked"
    is_right = len(places) == (job.status == Status.GRANTED)
    walk.check(is_right, job.subject, f"is {job.status} but its callback is in {where}")
