"""Notifiers report themselves, and how old a report is does not hang on a clock that is stepped."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.keys import NOTIFIERS
from rq_broker.store.notifiers import Notifiers
from rq_broker.store.runner import Runner


class Clocks:
    """Redis's clock and the process's monotonic clock, both set by the test."""

    def __init__(self) -> None:
        self.redis = 1000.0
        self.monotonic = 0.0

    async def now(self) -> float:
        return self.redis

    def pass_seconds(self, seconds: float) -> None:
        self.redis += seconds
        self.monotonic += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def notifiers(client: Redis, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Notifiers:
    return Notifiers(_runner(client, clocks, monkeypatch), lambda: clocks.monotonic)


def _runner(client: Redis, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Runner:
    runner = Runner(client)
    monkeypatch.setattr(runner, "now", clocks.now)
    return runner


async def _age(notifiers: Notifiers, name: str = "a") -> float:
    return next(report.age for report in await notifiers.notifiers() if report.name == name)


async def test_a_notifier_is_listed_from_its_report_until_it_retires(broker: Broker) -> None:
    """A report lists a notifier with its types; retiring takes it off the list."""
    assert await broker.notifiers() == []
    await broker.report_notifier("b", {"vm", "kube"})
    await broker.report_notifier("a", callbacks="--callback-ports 80")
    reports = await broker.notifiers()
    assert [report.callbacks for report in reports] == ["--callback-ports 80", None]
    assert [(report.name, report.types) for report in reports] == [("a", ()), ("b", ("kube", "vm"))]
    assert all(0 <= report.age < 5 for report in reports)
    await broker.retire_notifier("a")
    (left, staying) = await broker.notifiers()
    assert (left.has_left, left.types, staying.has_left, staying.name) == (True, (), False, "b")


async def test_the_last_that_left_is_told(notifiers: Notifiers, clocks: Clocks) -> None:
    """What is kept of notifiers off the list is the last report of them, whoever took it off."""
    await notifiers.report_notifier("dead", {"vm"})
    clocks.pass_seconds(70)
    await notifiers.report_notifier("stops", {"kube"})
    await notifiers.retire_notifier("stops")
    clocks.pass_seconds(5)
    for name in ("dead", "nobody"):
        await notifiers.retire_notifier(name)
    (left,) = await notifiers.notifiers()
    assert (left.has_left, left.types, left.age) == (True, ("kube",), 5)


async def test_an_age_grows_until_the_next_report(notifiers: Notifiers, clocks: Clocks) -> None:
    """The age of a report is the time since it, also for a reader that has just begun to read."""
    await notifiers.report_notifier("a")
    clocks.pass_seconds(4)
    assert await _age(notifiers) == 4
    clocks.pass_seconds(3)
    assert await _age(notifiers) == 7
    await notifiers.report_notifier("a")
    assert await _age(notifiers) == 0


async def test_a_clock_set_forward_kills_no_notifier(notifiers: Notifiers, clocks: Clocks) -> None:
    """A step of an hour forward makes no report older than the time since the last read."""
    await notifiers.report_notifier("a")
    await _age(notifiers)
    clocks.pass_seconds(1)
    await notifiers.report_notifier("a")
    clocks.redis += 3600
    assert await _age(notifiers) == 1


async def test_a_clock_set_back_revives_no_notifier(notifiers: Notifiers, clocks: Clocks) -> None:
    """After a step of an hour back, a report that stays the same still grows old."""
    await notifiers.report_notifier("a")
    await _age(notifiers)
    clocks.redis -= 3600
    clocks.pass_seconds(5)
    assert await _age(notifiers) == 5


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"reported":"x","types":[]}', "{}"])
async def test_a_report_that_no_notifier_writes_is_left_out(
    broker: Broker, client: Redis, text: str
) -> None:
    """A damaged report hides no other."""
    await client.hset(NOTIFIERS, "damaged", text)
    await broker.report_notifier("a")
    assert [report.name for report in await broker.notifiers()] == ["a"]
