"""The running jobs that a process keeps in memory against what Redis has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from redis.asyncio import Redis

from rq_broker.admission.running_holds import RunningHolds
from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, submit
from tests.redis_reads import key_names

KEYS = Keys(TYPE)
NAMES = ["a", "b:c"]

Held = dict[str, tuple[int, float, list[str], float | None, float | None]]
"""request_id → ID, time of the grant, hosts, prediction, and what the job says."""


def seconds(milliseconds: str | None) -> float | None:
    return None if milliseconds is None else int(milliseconds) / 1000


async def plain_read(client: Redis) -> Held:
    """Read every job that holds, hash by hash."""
    held: Held = {}
    for name in await key_names(client):
        if name.startswith(KEYS.of("job", "")):
            fields: Any = await client.hgetall(name)
            if fields["status"] in ("granted", "running") and "hosts" in fields:
                held[name.removeprefix(KEYS.of("job", ""))] = (
                    int(fields["id"]),
                    int(fields["granted"]) / 1000,
                    sorted(set(orjson.loads(fields["hosts"]))),
                    seconds(fields.get("predicted")),
                    seconds(fields.get("expected")),
                )
    return held


async def read(holds: RunningHolds) -> Held:
    """Read the same from the reader, which must name each job once."""
    rows = await holds.read()
    held: Held = {
        row.request_id: (row.id, row.granted, sorted(row.amounts), row.predicted, row.expected)
        for row in rows
    }
    assert len(held) == len(rows)
    return held


class Life:
    """One Redis, what clients and operators do to it, and two readers."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.broker = Broker(client)
        self.often, self.seldom = RunningHolds(self.broker, TYPE), RunningHolds(self.broker, TYPE)
        self.saved: dict[str, Any] = {}

    async def do(self, verb: str, name: str) -> None:
        """Do one thing, which the broker may refuse."""
        actions: dict[str, Callable[[], Awaitable[object]]] = {
            "submit": lambda: submit(self.broker, name),
            "start": lambda: self.start(name),
            "expect": lambda: self.broker.set_expected(TYPE, name, 60.0),
            "expect nothing": lambda: self.broker.set_expected(TYPE, name, None),
            "withdraw": lambda: self.broker.withdraw(TYPE, name),
            "read": self.check,
            "trim": lambda: self.client.xtrim(KEYS.of("events"), maxlen=2, approximate=False),
            "save": self.save,
            "restore": self.restore,
        }
        with suppress(errors.JobNotFound, errors.Conflict):
            if verb in actions:
                await actions[verb]()
            else:
                await self.broker.transition(TYPE, name, Status(verb))

    async def start(self, name: str) -> None:
        """Grant the job of this name, a new one if there is none."""
        await publish(self.broker)
        with suppress(errors.Conflict):
            await submit(self.broker, name)
        await grant(self.broker, await self.broker.read(TYPE, name))

    async def check(self) -> None:
        """Compare the reader that reads often with Redis; what it kept does not change."""
        before = await self.often.read()
        assert await read(self.often) == await plain_read(self.client)
        assert await self.often.read() is before

    async def save(self) -> None:
        names = await key_names(self.client)
        self.saved = {name: await self.client.dump(name) for name in names}

    async def restore(self) -> None:
        """Give Redis an older state, as a failover may."""
        await self.client.flushall()
        for name, value in self.saved.items():
            await self.client.restore(name, 0, value)

    async def live(self, steps: list[tuple[str, str]]) -> None:
        """Do all steps, then compare both readers with Redis."""
        try:
            await self.client.flushall()
            for verb, name in steps:
                await self.do(verb, name)
            expected = await plain_read(self.client)
            assert await read(self.often) == await read(self.seldom) == expected
            findings = await audit(self.client, TYPE)
            assert not [each for each in findings if each.severity is Severity.FAULT]
        finally:
            await self.broker.aclose()


VERBS = [
    *("start", "start", "start", "submit", "running", "done", "queued", "error", "withdraw"),
    *("expect", "expect nothing", "read", "read", "read", "trim", "save", "restore"),
]
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(NAMES)), min_size=20, max_size=40
)
SUPPRESSED = list(HealthCheck)


@settings(max_examples=25, deadline=None, suppress_health_check=SUPPRESSED)
@given(STEPS)
def test_what_is_kept_is_what_redis_has(steps: list[tuple[str, str]]) -> None:
    """After any changes, also to an older state, readers know exactly the jobs that hold."""
    asyncio.run(Life(in_memory()).live(steps))


def test_what_is_kept_is_what_a_real_server_has(redis_server: Server) -> None:
    """On a real server too, with fewer examples."""

    @settings(max_examples=8, deadline=None, suppress_health_check=SUPPRESSED)
    @given(STEPS)
    def live(steps: list[tuple[str, str]]) -> None:
        client = connect(redis_server.url)
        assert isinstance(client, Redis)
        asyncio.run(Life(client).live(steps))

    live()


async def test_only_changes_are_read(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first read no read goes over all holds again."""
    await bring(broker, Status.RUNNING, "a")
    holds = RunningHolds(broker, TYPE)
    assert [hold.request_id for hold in await holds.read()] == ["a"]
    await bring(broker, Status.GRANTED, "b")
    monkeypatch.setattr(broker, "running_holds", None)
    assert [hold.request_id for hold in await holds.read()] == ["a", "b"]


async def test_a_change_while_all_are_read_is_not_missed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that changes its status behind the part that was read is read from its event."""
    await bring(broker, Status.GRANTED, "a")
    await bring(broker, Status.RUNNING, "b")
    read_part = broker.running_holds

    async def interrupted(type_: str, status: Status, cursor: str) -> Any:
        part = await read_part(type_, status, cursor)
        if status == Status.GRANTED:
            await bring(broker, Status.GRANTED, "c")
            await broker.transition(TYPE, "b", Status.DONE)
        if status == Status.RUNNING:
            await broker.withdraw(TYPE, "a")
        return part

    monkeypatch.setattr(broker, "running_holds", interrupted)
    assert [hold.request_id for hold in await RunningHolds(broker, TYPE).read()] == ["c"]


async def test_a_type_that_changes_too_fast_is_unavailable(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all events are trimmed whenever all holds are read, the read ends with an error."""
    await bring(broker, Status.RUNNING, "a")
    read_part = broker.running_holds

    async def trimmed(type_: str, status: Status, cursor: str) -> Any:
        part = await read_part(type_, status, cursor)
        await submit(broker, f"r{(await broker.now(TYPE))}")
        await client.xtrim(KEYS.of("events"), maxlen=1, approximate=False)
        return part

    monkeypatch.setattr(broker, "running_holds", trimmed)
    holds = RunningHolds(broker, TYPE)
    with pytest.raises(errors.Unavailable, match="change faster"):
        await holds.read()
    monkeypatch.setattr(broker, "running_holds", read_part)
    assert [hold.request_id for hold in await holds.read()] == ["a"]


async def test_readers_at_the_same_time_share_what_is_read(broker: Broker) -> None:
    """Concurrent reads of one reader have one result."""
    await bring(broker, Status.RUNNING, "a")
    holds = RunningHolds(broker, TYPE)
    first, *others = await asyncio.gather(*(holds.read() for _ in range(5)))
    assert all(rows is first for rows in others)
