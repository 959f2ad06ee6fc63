"""Checks the callbacks index: each entry leads to a job that has this callback."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.indexes import with_other_sizes
from rq_broker.store.audit.jobs import CALLBACK
from rq_broker.store.audit.walk import Walk, digest_or_none, named
from rq_broker.store.keys import unfold

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The characters of a digest; its first two name one of the 4,096 hashes of the index."""
_FIELDS = ["id", "status", *CALLBACK]


async def check_callbacks(walk: Walk) -> None:
    """Check the hashes of the index that have other entries than those of the jobs read."""
    suspect = set(await with_other_sizes(walk, "callbacks:", "HLEN"))
    for first in _LETTERS:
        names = [f"callbacks:{first}{second}" for second in _LETTERS]
        without_jobs = [name for name in names if name not in walk.tally.members]
        if without_jobs:
            (existing,) = await walk.pipeline([("EXISTS", *map(walk.keys.of, without_jobs))])
            suspect.update(without_jobs if existing else [])
    for name in suspect:
        async for page in walk.pages("HSCAN", name):
            await _check_page(walk, name.removeprefix("callbacks:"), page)


async def _check_page(walk: Walk, bucket: str, page: list[tuple[str, str]]) -> None:
    """Check entries against the jobs they name, as they are now."""
    entries = ("HMGET", walk.keys.of("callbacks", bucket), *(rest for rest, _ in page))
    hashes = [("HMGET", walk.keys.of("job", request_id), *_FIELDS) for _, request_id in page]
    entries_now, *hashes_read = await walk.pipeline([entries, *hashes])
    jobs = [named(_FIELDS, values) if values else {} for values in hashes_read]
    members = [
        f"{job.get('id', ''):>016}:{request_id}"
        for job, (_, request_id) in zip(jobs, page, strict=True)
    ]
    scores = await walk.scores([f"status:{status}" for status in Status], members)
    for (rest, request_id), entry_now, read, job, member, score in zip(
        page, entries_now or [None] * len(page), hashes_read, jobs, members, scores, strict=True
    ):
        if entry_now != request_id:  # the entry changed since the page was read
            continue
        subject = f"callback {bucket}{rest}"
        if read is None:
            walk.wrong_kind(f"job:{request_id}", "hash")
            continue
        if not job:
            walk.fault(subject, f"names job {request_id}, which does not exist")
            continue
        callback = unfold(job, "callback")
        is_its_callback = digest_or_none(callback, request_id) == f"{bucket}{rest}"
        walk.check(is_its_callback, subject, f"names job {request_id}, which has another callback")
        listed = any(value is not None for value in score)
        walk.check(listed, f"job {member}", "has a hash but no status set lists it")
