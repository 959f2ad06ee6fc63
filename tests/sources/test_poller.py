"""The poller: one at a time, in order, and a source that fails leaves what was known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Proposal
from rq_broker.sources import Source, SourceSnapshot, Unreachable
from rq_broker.sources import poller as poller_module
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker
from rq_broker.worker.notifier import Notifier
from tests.asking import explanation, reason, what_if
from tests.making import TYPE, bring, proposal, shape, submit
from tests.processes import until


class Lab(Source):
    """A source that shows, or raises, whatever the test says, and notes what it was asked."""

    def __init__(self) -> None:
        self.hosts: tuple[Host, ...] = (Host("h1", {"VCPU": 4}),)
        self.failure: Exception | None = None
        self.watched: list[frozenset[str]] = []
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        self.watched.append(watch)
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        shares = {one: {("h1", "VCPU"): 1} for one in watch}
        return SourceSnapshot(self.hosts, shares)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def feed(lab: Lab) -> Feed:
    return Feed("lab", TYPE, 0.1, lab)


async def names(broker: Broker) -> list[str]:
    return [one.name for one in await broker.hosts(TYPE)]


async def test_a_snapshot_is_applied_and_the_next_one_is_due_after_the_interval(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """The first look is at once, the next when the interval is over and no earlier."""
    lab.hosts = (Host("h1", {"VCPU": 4}, max_unit={"VCPU": 2}),)
    one = Poller(broker, replace(feed, interval=60.0))
    wait = await one.run_once()
    assert wait is not None
    assert 30 < wait <= 60
    await one.run_once()
    assert len(lab.watched) == 1
    host = await broker.host(TYPE, "h1")
    assert (host.capacity, host.max_unit, host.source) == ({"VCPU": 4}, {"VCPU": 2}, "lab")
    assert TYPE in await broker.names()


async def test_a_running_jobs_servers_are_asked_for(broker: Broker, feed: Feed, lab: Lab) -> None:
    """What the source tells of a job's servers shortens its hold in the same step."""
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    one = Poller(broker, replace(feed, interval=0.0))
    await one.run_once()
    job = await submit(broker)
    view = await broker.view(TYPE)
    assert await broker.grant(TYPE, proposal(job), view)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s",))
    await one.run_once()
    assert lab.watched[-1] == {"s"}
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_hosts_the_broker_cannot_name_are_passed_over(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """One odd host among many is left out, with a word in the log; the others count."""
    lab.hosts = (
        Host("a/b", {"VCPU": 1}),
        Host("neg", {"VCPU": -1}),
        Host("unit", {"VCPU": 1}, max_unit={"VCPU": -1}),
        Host("ok", {"VCPU": 1}),
    )
    await Poller(broker, feed).run_once()
    assert await names(broker) == ["ok"]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [(Unreachable("no answer"), "unreachable"), (ZeroDivisionError("bug"), "failed")],
)
async def test_a_failing_source_leaves_its_last_snapshot(
    broker: Broker, feed: Feed, lab: Lab, failure: Exception, cause: str
) -> None:
    """Hosts stay, cause and age are told, and the first good snapshot ends it."""
    one = Poller(broker, replace(feed, interval=0.0))
    await one.run_once()
    lab.failure = failure
    await one.run_once()
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.hosts, await names(broker)) == (cause, 1, ["h1"])
    assert state.text
    lab.failure = None
    await one.run_once()
    assert (await broker.sources(TYPE))[0].cause == ""


async def test_reasons_say_how_old_the_capacity_is(broker: Broker, feed: Feed, lab: Lab) -> None:
    """While its source is stale, whatever is told of capacity carries age and cause; not before."""
    one = Poller(broker, replace(feed, interval=0.02))
    await one.run_once()
    job = await submit(broker, shape=shape({"VCPU": 3}, {"VCPU": 3}))
    told = await reason(broker, job)
    assert told is not None
    assert "capacity" not in told
    lab.failure = Unreachable("no answer")
    await asyncio.sleep(0.1)
    await one.run_once()
    said = [
        await reason(broker, job),
        (await explanation(broker, job.request_id))["reason"]["text"],
        (await what_if(broker, Proposal(shape({"VCPU": 9}))))["reason"]["text"],
    ]
    for text in said:
        assert "(capacity as of 0 s ago: source lab fails: unreachable)" in text
    await broker.set_policy(TYPE, {"paused": True})
    paused = await reason(broker, job)
    assert paused is not None
    assert "capacity" not in paused


async def test_one_of_many_polls(broker: Broker, feed: Feed, lab: Lab) -> None:
    """While one poller has the turn no other asks the source; when it closes, another does."""
    first, second = Poller(broker, feed), Poller(broker, replace(feed, source=Lab()))
    await first.run_once()
    assert await second.run_once() is None
    await first.close()
    assert lab.closed
    assert await second.run_once() is not None


async def test_a_dead_pollers_turn_ends_and_its_late_snapshot_is_refused(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poller that hung while another took over changes nothing when it wakes."""
    monkeypatch.setattr(poller_module, "TURN_SECONDS", 0.2)
    monkeypatch.setattr(Poller, "_kept", lambda _: _Nothing())
    lab.gate = asyncio.Event()
    hung = asyncio.create_task(Poller(broker, feed).run_once())
    await until(lambda: _true(lambda: bool(lab.watched)), "the first to begin")
    fresh = Lab()
    fresh.hosts = (Host("fresh", {"VCPU": 1}),)
    second = Poller(broker, replace(feed, source=fresh))
    assert await second.run_once() is None
    await until(lambda: _ran(second), "the turn to end")
    lab.gate.set()
    await hung
    assert await names(broker) == ["fresh"]


async def test_a_long_snapshot_keeps_the_turn(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source slower than a turn lasts is not polled by a second notifier meanwhile."""
    monkeypatch.setattr(poller_module, "TURN_SECONDS", 0.3)
    lab.gate = asyncio.Event()
    slow = asyncio.create_task(Poller(broker, feed).run_once())
    await until(lambda: _true(lambda: bool(lab.watched)), "the snapshot to begin")
    other = Poller(broker, replace(feed, source=Lab()))
    for _ in range(8):
        await asyncio.sleep(0.1)
        assert await other.run_once() is None
    lab.gate.set()
    assert await slow is not None


class _NoSender:
    """Nobody to call back."""


async def test_the_notifier_polls_what_it_is_given(broker: Broker, feed: Feed, lab: Lab) -> None:
    """A notifier grants what a source shows, and gives turn and source back at its end."""
    await bring(broker, Status.QUEUED)
    others = Lab()
    feeds = [feed, replace(feed, type="other", source=others)]
    one = Notifier(broker, _NoSender(), types=[TYPE], feeds=feeds)  # type: ignore[arg-type] # unused
    task = asyncio.create_task(one.run())
    await until(lambda: _status(broker, Status.GRANTED), "the grant")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert lab.closed
    assert others.watched == []
    assert await broker.turn(TYPE, "next", "take", 1.0, "source:lab")


class _Nothing:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def _true(question: Callable[[], bool]) -> bool:
    return question()


async def _ran(poller: Poller) -> bool:
    return await poller.run_once() is not None


async def _status(broker: Broker, status: Status) -> bool:
    return (await broker.read(TYPE, "d")).status is status


async def test_a_snapshot_with_max_units_says_what_is_wrong(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source written for the former SourceSnapshot is shown as failed, and the field is named."""

    async def former(_: frozenset[str]) -> SourceSnapshot:
        return SourceSnapshot(lab.hosts, max_units={"h1": {"VCPU": 2}})  # type: ignore[call-arg]  # is the point

    monkeypatch.setattr(lab, "snapshot", former)
    await Poller(broker, feed).run_once()
    (source,) = await broker.sources(TYPE)
    assert source.cause == "failed"
    assert "max_units" in source.text
