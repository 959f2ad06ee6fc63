"""The poller: one process at a time polls, in order; a failing source leaves its last snapshot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest

from rq_broker.cli.log_lines import LineFormatter
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Proposal
from rq_broker.sources import Source, SourceSnapshot, Unreachable, poller as poller_module
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker
from rq_broker.worker.notifier import Notifier
from tests.explaining import explanation_of, reason_of, what_if
from tests.making import TYPE, bring, planned_grant, shape, submit
from tests.processes import until


class Lab(Source):
    """A source that returns or raises what the test sets, and records what it is asked for."""

    def __init__(self) -> None:
        self.hosts: tuple[Host, ...] = (Host("h1", {"VCPU": 4}),)
        self.failure: Exception | None = None
        self.watched: list[frozenset[str]] = []
        self.gate: asyncio.Event | None = None
        self.closed = False
        self.unread: dict[str, str] = {}
        self.recalled: list[list[str]] = []

    def recall(self, hosts: Sequence[Host]) -> None:
        self.recalled.append([host.name for host in hosts])

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        self.watched.append(watch)
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        shares = {server: {("h1", "VCPU"): 1} for server in watch}
        return SourceSnapshot(self.hosts, shares, unread=self.unread)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def feed(lab: Lab) -> Feed:
    return Feed("lab", TYPE, 0.1, lab)


async def names(broker: Broker) -> list[str]:
    return [host.name for host in await broker.hosts(TYPE)]


async def test_a_snapshot_is_applied_and_the_next_one_is_due_after_the_interval(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """The first snapshot is taken at once, the next when the interval has passed and no earlier."""
    lab.hosts = (Host("h1", {"VCPU": 4}, max_unit={"VCPU": 2}),)
    poller = Poller(broker, replace(feed, interval=60.0))
    wait = await poller.run_once()
    assert wait is not None
    assert 30 < wait <= 60
    await poller.run_once()
    assert len(lab.watched) == 1
    host = await broker.host(TYPE, "h1")
    assert (host.capacity, host.max_unit, host.source) == ({"VCPU": 4}, {"VCPU": 2}, "lab")
    assert TYPE in await broker.names()


async def test_a_running_jobs_servers_are_watched(broker: Broker, feed: Feed, lab: Lab) -> None:
    """What a job's servers use shrinks its hold in the step that applies the snapshot."""
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    poller = Poller(broker, replace(feed, interval=0.0))
    await poller.run_once()
    job = await submit(broker)
    state = await broker.type_state(TYPE)
    assert await broker.grant(TYPE, planned_grant(job), state)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s",))
    await poller.run_once()
    assert lab.watched[-1] == {"s"}
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_hosts_that_the_broker_cannot_name_or_count_are_left_out(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """One wrong host among many is left out and logged; the others count."""
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
    """Hosts stay, cause and age are shown, and the next good snapshot ends it."""
    poller = Poller(broker, replace(feed, interval=0.0))
    await poller.run_once()
    lab.failure = failure
    await poller.run_once()
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.hosts, await names(broker)) == (cause, 1, ["h1"])
    assert state.text
    lab.failure = None
    await poller.run_once()
    assert (await broker.sources(TYPE))[0].cause == ""


async def test_an_exception_that_is_no_failure_is_shown_too(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source written for the former SourceSnapshot fails, with the wrong argument named."""

    async def former(_: frozenset[str]) -> SourceSnapshot:
        return SourceSnapshot(lab.hosts, max_units={"h1": {"VCPU": 2}})  # type: ignore[call-arg]  # is the point

    monkeypatch.setattr(lab, "snapshot", former)
    await Poller(broker, feed).run_once()
    (source,) = await broker.sources(TYPE)
    assert source.cause == "failed"
    assert "max_units" in source.text


@pytest.mark.parametrize("failure", [Unreachable, ValueError])
async def test_a_failure_is_shown_without_credentials(
    broker: Broker,
    feed: Feed,
    lab: Lab,
    caplog: pytest.LogCaptureFixture,
    failure: type[Exception],
) -> None:
    """What a library says of its login reaches neither Redis, which /readyz reads, nor the log."""
    lab.failure = failure("cannot reach https://u:s3cret@k.lab/v3 with password='hunter2'")
    await Poller(broker, feed).run_once()
    (source,) = await broker.sources(TYPE)
    assert source.text.endswith("cannot reach https://***@k.lab/v3 with password=***")
    formatted = "\n".join(map(LineFormatter().format, caplog.records))
    assert "cannot reach https://***@k.lab" in formatted
    assert not re.search("s3cret|hunter2", formatted)


async def test_reasons_say_how_old_the_capacity_is(broker: Broker, feed: Feed, lab: Lab) -> None:
    """While the source is stale, and only then, every reason about capacity has age and cause."""
    poller = Poller(broker, replace(feed, interval=0.02))
    await poller.run_once()
    job = await submit(broker, shape=shape({"VCPU": 3}, {"VCPU": 3}))
    text = await reason_of(broker, job)
    assert text is not None
    assert "capacity" not in text
    lab.failure = Unreachable("no answer")
    await asyncio.sleep(0.1)
    await poller.run_once()
    texts = [
        await reason_of(broker, job),
        (await explanation_of(broker, job.request_id))["reason"]["text"],
        (await what_if(broker, Proposal(shape({"VCPU": 9}))))["reason"]["text"],
    ]
    for text in texts:
        assert re.search(r"\(capacity as of \d s ago: source lab fails: unreachable\)", text)
    await broker.set_policy(TYPE, {"paused": True})
    paused = await reason_of(broker, await submit(broker, "fits"))
    assert paused is not None
    assert "capacity" not in paused


async def test_one_of_several_pollers_polls(broker: Broker, feed: Feed, lab: Lab) -> None:
    """While one poller holds the lock no other reads the source; when it closes, another does."""
    first, second = Poller(broker, feed), Poller(broker, replace(feed, source=Lab()))
    await first.run_once()
    assert await second.run_once() is None
    await first.close()
    assert lab.closed
    assert await second.run_once() is not None


async def test_a_hung_pollers_lock_ends_and_its_late_snapshot_is_refused(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poller that hangs until another has taken over changes nothing when it goes on."""
    monkeypatch.setattr(poller_module, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(Poller, "_lock_renewed", lambda _: nullcontext())
    lab.gate = asyncio.Event()
    hung = asyncio.create_task(Poller(broker, feed).run_once())
    await until(lambda: _true(lambda: bool(lab.watched)), "the first snapshot to begin")
    fresh = Lab()
    fresh.hosts = (Host("fresh", {"VCPU": 1}),)
    second = Poller(broker, replace(feed, source=fresh))
    assert await second.run_once() is None
    await until(lambda: _polls(second), "the lock to end")
    lab.gate.set()
    await hung
    assert await names(broker) == ["fresh"]


async def test_a_long_snapshot_keeps_the_lock(
    broker: Broker, feed: Feed, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that takes longer than the lock lasts is not polled by a second notifier."""
    monkeypatch.setattr(poller_module, "LOCK_SECONDS", 0.3)
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
    """Sends no callbacks."""


async def test_the_notifier_polls_the_sources_of_its_types(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """A notifier grants a source's capacity; at its end it gives back the lock and the source."""
    await bring(broker, Status.QUEUED)
    of_another_type = Lab()
    feeds = [feed, replace(feed, type="other", source=of_another_type)]
    notifier = Notifier(broker, _NoSender(), types=[TYPE], feeds=feeds)  # type: ignore[arg-type] # unused
    task = asyncio.create_task(notifier.run())
    await until(lambda: _has_status(broker, Status.GRANTED), "the grant")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert lab.closed
    assert of_another_type.watched == []
    assert await broker.turn(TYPE, "next", "take", 1.0, "source:lab")


async def _true(question: Callable[[], bool]) -> bool:
    return question()


async def _polls(poller: Poller) -> bool:
    return await poller.run_once() is not None


async def _has_status(broker: Broker, status: Status) -> bool:
    return (await broker.read(TYPE, "d")).status is status


async def test_what_is_unread_is_told_everywhere_and_logged_at_begin_and_end(
    broker: Broker, feed: Feed, lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """State and reason say what is not read and why; the log has a line at begin and at end."""
    caplog.set_level("INFO")
    poller = Poller(broker, replace(feed, interval=60.0))

    async def poll() -> None:
        poller._due = 0.0
        await poller.run_once()

    for number in range(3):  # each attempt has another number in its sentence
        lab.unread = {"the names of aggregates": f"refused: request {number}"}
        await poll()
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.stale, state.hosts) == ("unread", False, 1)
    assert state.text == "the names of aggregates cannot be read: refused: request 2"
    job = await submit(broker, shape=shape({"VCPU": 3}, aggregate="gold"))
    text = await reason_of(broker, job)
    assert text == f"there is no known host of aggregate gold (source lab: {state.text})"
    lab.unread = {}
    await poll()
    await poll()
    assert [record.getMessage() for record in caplog.records][1:] == [
        "source lab of vm: the names of aggregates cannot be read: refused: request 0",
        "source lab of vm works again",
    ]


async def test_a_source_is_told_what_another_process_left(
    broker: Broker, feed: Feed, lab: Lab
) -> None:
    """A poller that takes the lock, again or for the first time, hands the source its hosts."""
    await broker.set_host(TYPE, Host("published", {"VCPU": 1}))
    first = Poller(broker, replace(feed, interval=0.0))
    await first.run_once()
    assert lab.recalled == [[]]
    await first.run_once()
    await first.close()
    second = Poller(broker, replace(feed, interval=0.0))
    await second.run_once()
    assert lab.recalled == [[], ["h1"]]
