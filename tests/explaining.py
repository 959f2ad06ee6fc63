"""What tests of reasons and explanations need: holders, history, waiting jobs; a dump of Redis."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from redis.asyncio import Redis

from rq_broker.admission.explain import Explainer
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.api.waiting_views import explanation_view, what_if_view
from rq_broker.domain.jobs import Job
from rq_broker.domain.planning import Proposal
from rq_broker.store.broker import Broker
from rq_broker.store.keys import NOTIFIERS, Keys
from tests.making import TYPE, grant, shape, submit

KEYS = Keys(TYPE)
_TOO_LITTLE_HISTORY = "fewer than 10 jobs of this type have used granted capacity and ended"
NO_ETA = {
    "p50": None,
    "p90": None,
    "reason": _TOO_LITTLE_HISTORY,
    "why": {"code": "too_little_history", "text": _TOO_LITTLE_HISTORY, "needed": 10},
}
"""The ETA of a job of a type with too few observed holding times."""
_READERS = {
    "string": lambda client, name: client.get(name),
    "hash": lambda client, name: client.hgetall(name),
    "set": lambda client, name: client.smembers(name),
    "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "stream": lambda client, name: client.xrange(name),
}


async def dump(client: Redis) -> dict[str, Any]:
    """Read every key there is but the notifiers' reports."""
    names = [name async for name in client.scan_iter(match="*") if name != NOTIFIERS]
    return {name: await _READERS[str(await client.type(name))](client, name) for name in names}


async def queued(
    broker: Broker,
    request_id: str,
    vcpus: int,
    *,
    owner: str = "o",
    aggregate: str | None = None,
    priority: int | None = None,
) -> Job:
    """Submit a job of one instance, and read it as it waits."""
    wanted = shape({"VCPU": vcpus}, owner=owner, aggregate=aggregate)
    await submit(broker, request_id, shape=wanted, owner_id=owner, priority=priority)
    return await broker.read(TYPE, request_id)


async def holding(
    broker: Broker, request_id: str, vcpus: int, host: str = "h1", owner: str = "o"
) -> None:
    """Submit a job and grant it so many VCPU on a host."""
    wanted = shape({"VCPU": vcpus}, owner=owner)
    job = await submit(broker, request_id, shape=wanted, owner_id=owner)
    assert await grant(broker, job, wanted, host) is not None


async def add_history(client: Redis, *seconds: float) -> None:
    """Add to the observed holding times."""
    for span in seconds:
        milliseconds = round(span * 1000)
        await client.xadd(
            KEYS.of("holding_times"),
            {"milliseconds": milliseconds, "owner": "o", "demand_key": "", "size": 0},
        )


async def reason_of(broker: Broker, job: Job) -> str | None:
    """Ask a new process why a job waits, while a notifier serves its type."""
    await broker.report_notifier("n")
    reason = await ReasonReader(SnapshotReader(broker)).reason(job.type, job)
    return reason.text if reason else None


async def explanation_of(broker: Broker, request_id: str) -> dict[str, Any]:
    """Ask a new process to explain a job; returns the answer as it is in JSON."""
    await broker.report_notifier("n")
    explained = await Explainer(SnapshotReader(broker)).explain(TYPE, request_id)
    answer: dict[str, Any] = to_builtins(explanation_view(explained))
    return answer


async def what_if(broker: Broker, proposal: Proposal) -> dict[str, Any]:
    """Ask a new process what a proposal would do; returns the answer as it is in JSON."""
    await broker.report_notifier("n")
    answered = await Explainer(SnapshotReader(broker)).what_if(TYPE, proposal)
    answer: dict[str, Any] = to_builtins(what_if_view(answered))
    return answer
