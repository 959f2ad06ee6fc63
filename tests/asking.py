"""What tests of answers need made: holders, history, jobs in line; and a dump of every key."""

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
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, shape, submit

KEYS = Keys(TYPE)
LITTLE = "fewer than 10 jobs of this type have finished"
READERS = {
    "string": lambda client, name: client.get(name),
    "hash": lambda client, name: client.hgetall(name),
    "set": lambda client, name: client.smembers(name),
    "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "stream": lambda client, name: client.xrange(name),
}


async def everything(client: Redis) -> dict[str, Any]:
    """Read every key there is."""
    names = [name async for name in client.scan_iter(match="*")]
    return {name: await READERS[str(await client.type(name))](client, name) for name in names}


async def want(broker: Broker, name: str, vcpu: int, **more: Any) -> Job:
    """Submit a job of one instance; it comes back as it stands in line."""
    wanted = shape({"VCPU": vcpu}, owner=more.pop("owner", "o"))
    await submit(broker, name, shape=wanted, owner_id=wanted.owner, **more)
    return await broker.read(TYPE, name)


async def hold(broker: Broker, name: str, vcpu: int, host: str = "h1", owner: str = "o") -> None:
    """Have a job hold so much of a host."""
    wanted = shape({"VCPU": vcpu}, owner=owner)
    job = await submit(broker, name, shape=wanted, owner_id=owner)
    assert await grant(broker, job, wanted, host) is not None


async def learn(client: Redis, *seconds: float) -> None:
    """Have observed that capacity was held for so long."""
    await client.rpush(KEYS.of("history"), *(round(span * 1000) for span in seconds))


async def reason(broker: Broker, job: Job) -> str | None:
    """Ask why a job waits, as a process that never looked before."""
    return await ReasonReader(SnapshotReader(broker)).reason(job.type, job)


async def explanation(broker: Broker, request_id: str) -> dict[str, Any]:
    """Ask for all there is to say about a job, likewise."""
    explained = await Explainer(SnapshotReader(broker)).explain(TYPE, request_id)
    answer: dict[str, Any] = to_builtins(explanation_view(explained))
    return answer


async def what_if(broker: Broker, proposal: Proposal) -> dict[str, Any]:
    """Ask what would be, likewise."""
    answered = await Explainer(SnapshotReader(broker)).what_if(TYPE, proposal)
    answer: dict[str, Any] = to_builtins(what_if_view(answered))
    return answer
