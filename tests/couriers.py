"""What courier tests need: a sender that says what it is told to say, and couriers that use it."""

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
class Script:
    """A sender that plays outcomes in order, the last one for ever, and keeps what it was given."""

    outcomes: list[Outcome | Exception] = field(default_factory=lambda: [OK])
    urls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is answered before it is set."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        self.urls.append(url)
        self.bodies.append(body)
        self.ids.append(headers["webhook-id"])
        await self.answer.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def saying(*outcomes: Outcome | Exception) -> Script:
    script = Script(list(outcomes) or [OK])
    script.answer.set()
    return script


def silent(*outcomes: Outcome) -> Script:
    return Script(list(outcomes) or [OK])


def make(broker: Broker, script: Script, slots: asyncio.Semaphore, base: str = "") -> Courier:
    return Courier(broker, TYPE, script, slots, callback_base=base or None, timeout=1.0, batch=3)


async def deliver_once(broker: Broker, script: Script, slots: asyncio.Semaphore) -> None:
    """Let a courier claim once, and wait until all it started is settled."""
    one = make(broker, script, slots)
    await one.run_once()
    await one.drain(10.0)


def all_free(slots: asyncio.Semaphore) -> bool:
    return not slots.locked() and slots._value == SLOTS


async def due(client: Redis, job: Job) -> float:
    """When the job's next attempt is due, seconds since 1970."""
    name = Keys(TYPE).of("deliveries")
    return float(await client.zscore(name, member(job.id, job.request_id))) / 1000


async def held(broker: Broker) -> Mapping[str, int]:
    return (await broker.host(TYPE, "h1")).held
