"""Offers with real processes: notifiers die between the grant and the end of its offer."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.domain.offers import OFFER
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from tests.making import TYPE, publish, shape, submit
from tests.processes import Children, until


async def test_the_offer_of_a_killed_notifier_ends(spawn: Children, store: Server) -> None:
    """Granted by a notifier that dies, an offer is missed once, and its capacity goes to others."""
    client = Redis(port=store.port, decode_responses=True)
    broker = Broker(client)
    await broker.set_policy(TYPE, {"offer": 1.0})
    await publish(broker, VCPU=1)
    wanted = shape(destination=OFFER)
    await submit(broker, "gone", callback="", shape=wanted)
    victim = spawn.notifier(store.url)

    async def is_offered() -> bool:
        return (await broker.read(TYPE, "gone")).status is Status.GRANTED

    await until(is_offered, "the offer")
    victim.kill()
    await submit(broker, "other", callback="", shape=wanted, priority=-1)
    spawn.notifier(store.url)

    async def is_taken() -> bool:
        job = await broker.read(TYPE, "other")
        if job.status is not Status.GRANTED:
            return False
        try:
            await broker.transition(TYPE, "other", Status.RUNNING, fence=job.fence)
        except errors.StaleFence:  # a slow machine: it is offered again
            return False
        return True

    await until(is_taken, "the offer to the other job")
    job = await broker.read(TYPE, "gone")
    assert (job.status, job.error, job.hosts) == (Status.QUEUED, "offer_missed", ())
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 1}
    assert await audit(client, TYPE) == []
    await broker.aclose()
