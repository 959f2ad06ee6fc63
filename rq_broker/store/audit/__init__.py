"""The audit: compares the keys of one type with each other, and with the contract in keys.py.

It only reads, in small pages, so it runs beside a busy broker and while Redis refuses writes. What
it finds is read once more, and only what both readings found counts: a job may change in between.
It does not find the keys of jobs and owners that no index names: that would take a scan of all.
"""

from __future__ import annotations

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.jobs import HOLDING, STORED_STATUSES
from rq_broker.store.audit.arrays import check_arrays
from rq_broker.store.audit.beside import check_beside
from rq_broker.store.audit.callbacks import check_callbacks
from rq_broker.store.audit.checkpoint import Checkpoint
from rq_broker.store.audit.deadlines import check_running_deadlines
from rq_broker.store.audit.findings import Finding, Severity
from rq_broker.store.audit.hosts import check_counters, check_hosts
from rq_broker.store.audit.indexes import check_indexes
from rq_broker.store.audit.jobs import PAGE, check_jobs, check_page, check_rows
from rq_broker.store.audit.kinds import kinds_are_right
from rq_broker.store.audit.log import check_log
from rq_broker.store.audit.losses import check_losses
from rq_broker.store.audit.queue_use import check_queue_use
from rq_broker.store.audit.reports import check_reports
from rq_broker.store.audit.servers import check_servers
from rq_broker.store.audit.shapes import check_shapes
from rq_broker.store.audit.walk import Walk
from rq_broker.store.redis_errors import translate

__all__ = ["Checkpoint", "Finding", "Severity", "audit"]


async def audit(
    client: Redis | RedisCluster,
    type_: str,
    *,
    sample: int = 0,
    checkpoint: Checkpoint | None = None,
) -> list[Finding]:
    """Check one type; returns the findings that a second reading confirms.

    Args:
        client: Of the Redis that keeps the type.
        type_: The type.
        sample: Check so many jobs, chosen at random, and nothing else; 0 checks everything.
        checkpoint: Where to go on from, and to note how far the walk is.

    Raises:
        Unavailable: Redis does not answer, or cannot serve now.
    """
    walk = Walk(client, type_, checkpoint.note if checkpoint else None)
    try:
        if not await kinds_are_right(walk):
            return walk.findings
        if sample:
            await _check_sample(walk, sample)
        else:
            await _check_all(walk, checkpoint)
        if not walk.findings:
            return []
        confirmed = set(await _findings_again(walk, only_jobs=bool(sample)))
    except (exceptions.RedisError, OSError) as error:
        raise translate(error) from error
    return [finding for finding in walk.findings if finding in confirmed]


async def _check_all(walk: Walk, checkpoint: Checkpoint | None) -> None:
    """Check every key of the type. The jobs come first: the other checks use their tally."""
    walk.hosts_before = dict(await walk.entries("hosts"))
    begin, after = STORED_STATUSES[0], ("", "")
    if checkpoint and (position := checkpoint.restore(walk)):
        begin, after = position
    for status in STORED_STATUSES[STORED_STATUSES.index(begin) :]:
        await check_jobs(walk, status, after)
        after = ("", "")
    await _check_others(walk)


async def _check_others(walk: Walk) -> None:
    """Check the keys that are not a job's own.

    The callbacks come first: each job that others submit meanwhile makes one more of their hashes
    worth a second look.
    """
    await check_callbacks(walk)
    await check_indexes(walk)
    await check_beside(walk)
    await check_arrays(walk)
    check_running_deadlines(walk)
    await check_shapes(walk)
    await check_servers(walk)
    await check_hosts(walk, walk.hosts_before)
    await check_counters(walk)
    await check_queue_use(walk)
    await check_losses(walk)
    await check_log(walk)
    await check_reports(walk)
    await kinds_are_right(walk)


async def _check_sample(walk: Walk, sample: int) -> None:
    """Check jobs chosen at random, of each status in proportion to the jobs in it."""
    counts = {status: await walk.command("ZCARD", f"status:{status}") for status in STORED_STATUSES}
    total = sum(counts.values())
    for status, count in counts.items():
        wanted = min(-(-sample * count // max(total, 1)), count)
        for start in range(0, wanted, PAGE):
            size = min(PAGE, wanted - start)
            await check_page(walk, status, await walk.page(status, count=size, is_random=True))


async def _findings_again(first: Walk, *, only_jobs: bool) -> list[Finding]:
    """Check again what a walk had findings on, and the sums over the jobs that hold capacity."""
    again = Walk(first.client, first.type)
    again.hosts_before = dict(await again.entries("hosts"))
    members = [
        finding.subject.removeprefix("job ") for finding in first.findings if finding.is_of_job
    ]
    for status in STORED_STATUSES:
        if status in HOLDING and not only_jobs:
            await check_jobs(again, status)
            continue
        for start in range(0, len(members), PAGE):
            page = await again.page_of(status, members[start : start + PAGE])
            await check_rows(again, status, page)
    if not only_jobs:
        again.tally.take_counts(first.tally)
        await _check_others(again)
    return again.findings
