"""What tests of the courier need: senders with scripted outcomes, and couriers that use them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

from rq_broker.delivery.courier import Courier
from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.jobs import Job
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE

OK = Outcome("ok", "http_200", 1)
GONE = Outcome("gone", "http_410", 1)
DOWN = Outcome("retry", "http_503", 1, unhealthy=True)
TIMEOUT = Outcome("retry", "timeout", 1, unhealthy=True)
REJECTED = Outcome("rejected", "http_404", 1)
REDIRECT = Outcome("fail", "redirect", 1)
SLOTS = 4


@dataclass
class ScriptedSender:
    """A sender that returns outcomes in order, then the last one again, and keeps its input."""

    outcomes: list[Outcome | Exception] = field(default_factory=lambda: [OK])
    urls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """No outcome is returned before it is set."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        self.urls.append(url)
        self.bodies.append(body)
        self.ids.append(headers["webhook-id"])
        self.headers.append(headers)
        await self.may_answer.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def answering(*outcomes: Outcome | Exception) -> ScriptedSender:
    """Make a sender that returns these outcomes at once."""
    sender = ScriptedSender(list(outcomes) or [OK])
    sender.may_answer.set()
    return sender


def waiting(*outcomes: Outcome) -> ScriptedSender:
    """Make a sender that returns these outcomes once `may_answer` is set."""
    return ScriptedSender(list(outcomes) or [OK])


def make_courier(
    broker: Broker, sender: ScriptedSender, slots: asyncio.Semaphore, base: str = ""
) -> Courier:
    return Courier(broker, TYPE, sender, slots, callback_base=base or None, timeout=1.0, batch=3)


async def deliver_once(broker: Broker, sender: ScriptedSender, slots: asyncio.Semaphore) -> None:
    """Let a new courier claim once, and wait until all that it sent is settled."""
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await courier.drain(10.0)


def all_free(slots: asyncio.Semaphore) -> bool:
    return not slots.locked() and slots._value == SLOTS


async def due_time(client: Redis, job: Job) -> float:
    """Return when the job's next attempt is due, in seconds since 1970."""
    name = Keys(TYPE).of("deliveries")
    score = await client.zscore(name, member(job.id, job.request_id))
    assert score is not None
    return score / 1000


async def held(broker: Broker) -> Mapping[str, int]:
    """Return what grants hold on host h1."""
    return (await broker.host(TYPE, "h1")).held
