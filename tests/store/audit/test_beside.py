"""The audit finds, and repair mends, what is wrong with jobs beside the line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, submit

KEYS = Keys(TYPE)
STRAY = member(999, "stray")
FAR = 4_000_000_000_000
A, B, EARLY, DEPENDENT = (
    member(number, name) for number, name in enumerate(("a", "b", "early", "d"), 1)
)
SET = ("dependents", A)

Damage = Callable[[Redis], Awaitable[object]]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a job that waits for nothing": (
        lambda c: c.zrem(KEYS.of("alarms"), EARLY),
        f"job {EARLY}: is beside the line and nothing brings it back",
    ),
    "a set that lost a dependent": (
        lambda c: c.zrem(KEYS.of(*SET), DEPENDENT),
        f"job {DEPENDENT}: waits for 2 jobs but 1 know of it",
    ),
    "a wrong count": (
        lambda c: c.hset(KEYS.of("job", "d"), "left", 1),
        f"job {DEPENDENT}: waits for 1 jobs but 2 know of it",
    ),
    "a dependent of nobody": (
        lambda c: c.zadd(KEYS.of(*SET), {STRAY: 0}),
        f"dependents:{A}: names {STRAY}, which is no beside job",
    ),
    "an end that nobody notes": (
        lambda c: c.zrem(KEYS.of("ended"), B),
        f"job {DEPENDENT}: waits for {B}, whose end nobody notes",
    ),
    "an alarm of nobody": (
        lambda c: c.zadd(KEYS.of("alarms"), {STRAY: 1}),
        f"alarms: names {STRAY}",
    ),
    "a job that is in the line too": (
        lambda c: c.zadd(KEYS.of("status", "queued"), {EARLY: 1}),
        "but its hash says beside",
    ),
    "a status that lost a job": (
        lambda c: c.zrem(KEYS.of("status", "beside"), EARLY),
        "",
    ),
}


@pytest.fixture
async def jobs(broker: Broker) -> None:
    """Put two jobs beside the line: for a time, and for a waiting and an ended job."""
    await submit(broker, "a")
    await submit(broker, "b")
    await submit(broker, "early", terms=Terms(not_before=FAR))
    await submit(broker, "d", terms=Terms(after=("a", "b")))
    await broker.transition(TYPE, "b", Status.DONE)


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_beside_the_line_is_found_and_mended(
    broker: Broker, client: Redis, name: str
) -> None:
    """The finding names the job and the set; after a repair the audit is clean, and jobs go on."""
    damage, text = DAMAGES[name]
    assert await audit(client, TYPE) == []
    await damage(client)
    findings = await audit(client, TYPE)
    found = [f"{finding.subject}: {finding.text}" for finding in findings]
    assert any(text in finding for finding in found), found
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []
    while (await broker.sweep(TYPE))[1]:
        pass
    await broker.withdraw(TYPE, "a")
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "d")).cause == "dependency_failed"
    assert (await broker.read(TYPE, "early")).is_beside
    assert await audit(client, TYPE) == []
