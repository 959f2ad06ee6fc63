"""The audit: compares the keys of one type with each other, and with the contract in keys.py.

It only reads, in pages, so it may run beside a busy broker. A job may change between two reads;
therefore the whole walk is repeated, and only findings of both walks count. Sums of holds are
compared only if no host changed during the walk. It does not find the keys of jobs and owners that
no index names: that would take a scan of all keys.
"""

from __future__ import annotations

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.callbacks import check_callbacks
from rq_broker.store.audit.findings import Finding, Severity
from rq_broker.store.audit.hosts import check_counters, check_hosts
from rq_broker.store.audit.indexes import check_indexes
from rq_broker.store.audit.jobs import check_jobs
from rq_broker.store.audit.shapes import check_shapes
from rq_broker.store.audit.walk import Walk
from rq_broker.store.keys import Keys
from rq_broker.store.redis_errors import translate

__all__ = ["Finding", "Severity", "audit"]


async def audit(client: Redis | RedisCluster, type_: str) -> list[Finding]:
    """Check one type; returns the findings that two walks in a row have in common.

    Raises:
        Unavailable: Redis does not answer.
    """
    try:
        first = await _walk(client, type_)
        second = set(await _walk(client, type_)) if first else set()
    except (exceptions.RedisError, OSError) as error:
        raise translate(error) from error
    return [finding for finding in first if finding in second]


async def _walk(client: Redis | RedisCluster, type_: str) -> list[Finding]:
    """Check every key of the type once. The jobs come first: the other checks use their tally."""
    walk = Walk(client, Keys(type_))
    hosts_before = dict(await walk.entries("hosts"))
    for status in Status:
        await check_jobs(walk, status)
    await check_indexes(walk)
    await check_shapes(walk)
    await check_callbacks(walk)
    await check_hosts(walk, hosts_before)
    await check_counters(walk)
    return walk.findings
