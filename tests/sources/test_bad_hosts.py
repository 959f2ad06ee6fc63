"""What sources return that cannot be used: it never takes a good host away, and is always told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.jobs import Status
from rq_broker.sources import Source, SourceSnapshot, poller as poller_module
from rq_broker.sources.checking import check_snapshot
from rq_broker.sources.failures import Faulty
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.explaining import reason_of
from tests.making import TYPE, grant, shape, submit
from tests.processes import until

GOOD = (Host("h1", {"seats": 4}), Host("h2", {"seats": 4}))


class Anything(Source):
    """A source that returns what `make` makes."""

    def __init__(self) -> None:
        self.make: Callable[[], Any] = lambda: SourceSnapshot(GOOD)

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:  # noqa: ARG002 - a test's
        made = self.make()
        if isinstance(made, BaseException):
            raise made
        result: SourceSnapshot = await made if asyncio.iscoroutine(made) else made
        return result


@pytest.fixture
def source() -> Anything:
    return Anything()


@pytest.fixture
def feed(source: Anything) -> Feed:
    return Feed("lab", TYPE, 0.0, source)


def _loosely(name: Any, capacity: Any, **fields: Any) -> Host:
    """Make a host of values that its fields do not allow."""
    return Host(name, capacity, **fields)


INTERVAL = 0.1
"""Seconds between two polls. A source is stale after three, on a busy machine now and then already
when its state is read."""
BAD: dict[str, Host] = {
    "a text": _loosely("h1", {"seats": "4"}),
    "a float": _loosely("h1", {"seats": 4.5}),
    "no number": _loosely("h1", {"seats": float("nan")}),
    "a truth": _loosely("h1", {"seats": True}),
    "below zero": _loosely("h1", {"seats": -4}),
    "too large": _loosely("h1", {"seats": 2**60}),
    "nothing": _loosely("h1", None),
    "a list": _loosely("h1", [("seats", 4)]),
    "a number as resource": _loosely("h1", {4: 4}),
    "an odd resource": _loosely("h1", {"a/b": 4}),
    "a long resource": _loosely("h1", {"x" * 65: 4}),
    "used": _loosely("h1", {"seats": 4}, used={"seats": "1"}),
    "max_unit": _loosely("h1", {"seats": 4}, max_unit=3),
    "aggregates": _loosely("h1", {"seats": 4}, aggregates=frozenset({"x" * 256})),
    "aggregates of lists": _loosely("h1", {"seats": 4}, aggregates=[[1]]),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("restart", [False, True], ids=["same poller", "after a restart"])
async def test_a_bad_host_keeps_its_last_good_state(
    broker: Broker, feed: Feed, source: Anything, bad: Host, restart: bool
) -> None:
    """The bad host stays as it was, the other one follows; the source is in trouble, not stale."""
    poller = Poller(broker, replace(feed, interval=INTERVAL))
    await poller.run_once()
    if restart:
        await poller.close()
        poller = Poller(broker, replace(feed, interval=INTERVAL))

    async def is_told(cause: str) -> bool:
        await poller.run_once()
        (state,) = await broker.sources(TYPE)
        return (state.cause, state.hosts, state.stale) == (cause, 2, False)

    source.make = lambda: SourceSnapshot((bad, Host("h2", {"seats": 9})))
    await until(lambda: is_told("bad_hosts"), "the bad host to be told of, by a source not stale")
    capacities = {host.name: host.capacity for host in await broker.hosts(TYPE)}
    assert capacities == {"h1": {"seats": 4}, "h2": {"seats": 9}}
    (state,) = await broker.sources(TYPE)
    assert state.text.startswith("host h1 keeps its last good state: ")
    source.make = lambda: SourceSnapshot(GOOD)
    await until(lambda: is_told(""), "the trouble to end")
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.text) == ("", "")


async def test_a_host_that_is_gone_goes_although_another_is_bad(
    broker: Broker, feed: Feed, source: Anything
) -> None:
    """One bad host does not keep others in service."""
    poller = Poller(broker, feed)
    await poller.run_once()
    source.make = lambda: SourceSnapshot((BAD["a text"],))
    await poller.run_once()
    assert [host.name for host in await broker.hosts(TYPE)] == ["h1"]


@pytest.mark.parametrize(
    "entry", [_loosely(None, {}), _loosely("", {}), _loosely(["h1"], {}), {"name": "h1"}, None, 4]
)
async def test_a_host_without_a_name_takes_none_away(
    broker: Broker, feed: Feed, source: Anything, entry: Any
) -> None:
    """What cannot be named may be any host that is missing, so none goes out of service."""
    poller = Poller(broker, feed)
    await poller.run_once()
    source.make = lambda: SourceSnapshot((GOOD[1], entry))
    await poller.run_once()
    assert [host.name for host in await broker.hosts(TYPE)] == ["h1", "h2"]
    (state,) = await broker.sources(TYPE)
    assert state.cause == "bad_hosts"
    assert "no host is taken out of service" in state.text


async def test_devices_are_left_out_while_an_older_notifier_serves(
    broker: Broker, feed: Feed, source: Anything, client: Redis
) -> None:
    """A notifier that would misread them finds none, all else is in service, and it is told."""
    gpus = new_host("h1", {"capacity": {"GPU": [1000, 1000], "VCPU": 8}, "used": {"VCPU": 1}})
    source.make = lambda: SourceSnapshot((gpus, GOOD[1]), left_out={"h1": "a label is too long"})
    now = round(await broker.runner.now() * 1000)
    report = f'{{"reported":{now},"types":["{TYPE}"],"contract":3}}'
    await client.hset("rqb:notifiers", "old", report)
    poller = Poller(broker, feed)
    await poller.run_once()
    host = await broker.host(TYPE, "h1")
    assert (host.capacity, host.used, host.devices) == ({"VCPU": 8}, {"VCPU": 1}, {})
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.hosts) == ("bad_hosts", 2)
    assert state.text == (
        "host h1: a label is too long; GPU left out: notifier old serves vm and does not know the "
        "devices of this host; upgrade it first"
    )
    source.make = lambda: SourceSnapshot((gpus, GOOD[1]))
    await broker.retire_notifier("old")
    await poller.run_once()
    assert (await broker.host(TYPE, "h1")).devices == {"GPU": (1000, 1000)}
    (state,) = await broker.sources(TYPE)
    assert state.cause == ""
    assert await audit(client, TYPE) == []


def _endless() -> Iterator[Host]:
    return (Host(f"h{number}", {}) for number in count())


def _with(**fields: Any) -> SourceSnapshot:
    return replace(SourceSnapshot(GOOD), **fields)


UNUSABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a list": (lambda: list(GOOD), "faulty"),
    "nothing": (lambda: None, "faulty"),
    "hosts by name": (lambda: _with(hosts={"h1": GOOD[0]}), "faulty"),
    "no hosts": (lambda: _with(hosts=None), "faulty"),
    "a text": (lambda: _with(hosts="h1"), "faulty"),
    "hosts without end": (lambda: _with(hosts=_endless()), "faulty"),
    "a list of consumers": (lambda: _with(consumers=["s"]), "faulty"),
    "a consumer's number": (lambda: _with(consumers={"s": 3}), "faulty"),
    "a place in one text": (lambda: _with(consumers={"s": {"h1/seats": 1}}), "faulty"),
    "an amount in a text": (lambda: _with(consumers={"s": {("h1", "seats"): "1"}}), "faulty"),
    "an amount below 0": (lambda: _with(consumers={"s": {("h1", "seats"): -1}}), "faulty"),
    "a list of bad hosts": (lambda: _with(bad_hosts=["h1"]), "faulty"),
    "a sequence in a text": (lambda: _with(sequence="9"), "faulty"),
    "a sequence too large": (lambda: _with(sequence=2**53), "faulty"),
    "an old sequence": (lambda: _with(sequence=1), "faulty"),
    "an exception": (lambda: RecursionError("x\n" * 1000), "failed"),
    "bytes": (lambda: ValueError("\ud800"), "failed"),
    "an exit": (lambda: SystemExit(3), "failed"),
    "a cancellation": (asyncio.CancelledError, "failed"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_a_snapshot_that_cannot_be_used_leaves_the_last_one(
    broker: Broker,
    feed: Feed,
    source: Anything,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it returns or raises: hosts stay, the cause is told, the log has it once."""
    caplog.set_level(logging.INFO)
    poller = Poller(broker, feed)
    await poller.run_once()
    make, cause = UNUSABLE[kind]
    source.make = make
    for _ in range(3):
        await poller.run_once()
    assert [host.name for host in await broker.hosts(TYPE)] == ["h1", "h2"]
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.hosts) == (cause, 2)
    assert state.text
    assert "\n" not in state.text
    assert len([line for line in caplog.records if line.levelno >= logging.WARNING]) == 1
    source.make = lambda: SourceSnapshot(GOOD)
    await poller.run_once()
    assert (await broker.sources(TYPE))[0].cause == ""


async def test_a_source_that_does_not_answer_is_told(
    broker: Broker, feed: Feed, source: Anything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that takes longer than three intervals is trouble before it ends."""
    monkeypatch.setattr(poller_module, "MIN_PATIENCE", 0.02)
    poller = Poller(broker, feed)
    await poller.run_once()
    answer = asyncio.Event()

    async def late() -> SourceSnapshot:
        await answer.wait()
        return SourceSnapshot(GOOD[:1])

    source.make = late
    polling = asyncio.create_task(poller.run_once())
    while (await broker.sources(TYPE))[0].cause != "unreachable":
        await asyncio.sleep(0.01)
    answer.set()
    await polling
    assert [host.name for host in await broker.hosts(TYPE)] == ["h1"]
    assert (await broker.sources(TYPE))[0].cause == ""


async def test_reasons_name_a_bad_host(broker: Broker, feed: Feed, source: Anything) -> None:
    """A job that waits for capacity is told which host is not read, and why."""
    source.make = lambda: SourceSnapshot((BAD["a text"], Host("h2", {"seats": 1})))
    await Poller(broker, replace(feed, interval=60.0)).run_once()
    job = await submit(broker, shape=shape({"seats": 3}))
    text = await reason_of(broker, job)
    assert text is not None
    assert "(source lab: host h1 keeps its last good state: " in text
    assert "capacity.seats" in text


async def test_a_shared_dictionary_is_copied(broker: Broker, feed: Feed, source: Anything) -> None:
    """A source that changes the amounts of the host it returned before is followed all the same."""
    capacity = {"seats": 4}
    source.make = lambda: SourceSnapshot((Host("h1", capacity),))
    poller = Poller(broker, feed)
    await poller.run_once()
    capacity["seats"] = 5
    await poller.run_once()
    assert (await broker.host(TYPE, "h1")).capacity == {"seats": 5}


async def test_what_a_bad_host_holds_stays(broker: Broker, feed: Feed, source: Anything) -> None:
    """A hold on a bad host is neither released nor counted as seen while the host is bad."""
    await broker.set_policy(TYPE, {"holds": "until_seen", "settle": 0})
    poller = Poller(broker, feed)
    await poller.run_once()
    job = await submit(broker, shape=shape({"seats": 1}))
    assert await grant(broker, job, shape({"seats": 1}), "h1")
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s",))
    source.make = lambda: SourceSnapshot((BAD["a text"], GOOD[1]), {"s": {("h1", "seats"): 1}})
    await poller.run_once()
    assert (await broker.host(TYPE, "h1")).held == {"seats": 1}
    source.make = lambda: SourceSnapshot(
        (Host("h1", {"seats": 4}, {"seats": 1}), GOOD[1]), {"s": {("h1", "seats"): 1}}
    )
    await poller.run_once()
    host = await broker.host(TYPE, "h1")
    assert (host.held, host.used) == ({}, {"seats": 1})


def test_the_sentence_names_a_few_hosts_and_counts_the_others() -> None:
    """A thousand bad hosts with huge names make one short sentence."""
    hosts = tuple(_loosely(f"{number:04}{'x' * 1000}", None) for number in range(1000))
    trouble = check_snapshot(SourceSnapshot(hosts), {}).trouble
    assert len(trouble) < 1000
    assert "997 more hosts" in trouble
    with pytest.raises(Faulty, match="of the class int"):
        check_snapshot(3, {})


def test_a_host_listed_twice_is_good_only_if_both_are_equal() -> None:
    """Equal entries are one host; entries that differ are a bad one."""
    twice = check_snapshot(SourceSnapshot((*GOOD, GOOD[0])), {})
    assert (len(twice.hosts), twice.trouble) == (2, "")
    differing = check_snapshot(SourceSnapshot((*GOOD, Host("h1", {"seats": 5}))), {})
    assert differing.hosts.keys() == {"h2"}
    assert "listed twice" in differing.trouble
