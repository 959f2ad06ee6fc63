"""Reasons for crowds: shared looks that are fresh, that rest, and that end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rq_broker.admission import snapshot as snapshots
from rq_broker.admission import waiting_reason as reasons
from rq_broker.admission.snapshot import SnapshotReader, WindowedSnapshot
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job
from rq_broker.store.broker import Broker
from tests.asking import want
from tests.making import TYPE, publish


class Eyes(SnapshotReader):
    """An outlook that counts its looks, and holds them back until it is let go."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.looks = 0
        self.seen, self.go = asyncio.Event(), asyncio.Event()

    async def read(self, type_: str, **how: Any) -> WindowedSnapshot:
        self.looks += 1
        seen = await super().read(type_, **how)
        self.seen.set()
        await self.go.wait()
        return seen


@pytest.fixture
def eyes(broker: Broker) -> Eyes:
    return Eyes(broker)


@pytest.fixture
async def job(broker: Broker) -> Job:
    """Have a job wait for 2 VCPU where there is 1."""
    await publish(broker, VCPU=1)
    return await want(broker, "d", 2)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "PAUSE_FACTOR", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_those_who_ask_at_once_share_a_look(
    broker: Broker, eyes: Eyes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty readers, and twelve later ones, cost two looks; each is told of its own job."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 2)
    await publish(broker, VCPU=1)
    jobs = [await want(broker, f"d{number}", number + 2) for number in range(12)]
    teller = ReasonReader(eyes)
    asking = [asyncio.create_task(teller.reason(TYPE, job)) for job in jobs * 5]
    await eyes.seen.wait()
    for job in jobs:
        asking.append(asyncio.create_task(teller.reason(TYPE, job)))
        await asyncio.sleep(0.001)
    eyes.go.set()
    told = await asyncio.gather(*asking)
    assert all(f"VCPU {n % 12 + 2} " in (text or "") for n, text in enumerate(told))
    assert eyes.looks == 2


@pytest.mark.usefixtures("at_once")
async def test_a_reason_is_as_fresh_as_its_question(broker: Broker, eyes: Eyes, job: Job) -> None:
    """Who asks while a look is being taken is told what the next one sees."""
    teller = ReasonReader(eyes)
    first = asyncio.create_task(teller.reason(TYPE, job))
    await eyes.seen.wait()  # and not yet told
    await publish(broker, VCPU=9)
    second = asyncio.create_task(teller.reason(TYPE, job))
    eyes.go.set()
    assert "VCPU 2" in (await first or "")
    assert await second == reasons.ABOUT_TO_BE_GRANTED


@pytest.mark.parametrize(("most", "told"), [(0.05, True), (60.0, False)])
async def test_looks_rest_and_readers_do_not_wait_for_ever(
    broker: Broker, job: Job, monkeypatch: pytest.MonkeyPatch, most: float, told: bool
) -> None:
    """After a look none begins for a while; who would wait too long is told to come again."""
    monkeypatch.setattr(reasons, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(reasons, "MAX_PAUSE", most)
    teller = ReasonReader(SnapshotReader(broker))
    assert await teller.reason(TYPE, job)
    if told:
        assert await teller.reason(TYPE, job)
    else:
        monkeypatch.setattr(reasons, "PLAN_TIMEOUT", 0.2)
        with pytest.raises(errors.Unavailable):
            await teller.reason(TYPE, job)


@pytest.mark.usefixtures("at_once")
async def test_a_reader_that_goes_away_takes_no_answer_along(eyes: Eyes, job: Job) -> None:
    """One of those who share a look may be cancelled; the others are told."""
    teller = ReasonReader(eyes)
    gone, stays = (asyncio.create_task(teller.reason(TYPE, job)) for _ in range(2))
    await eyes.seen.wait()
    gone.cancel()
    eyes.go.set()
    assert "VCPU 2" in (await stays or "")


async def test_a_look_that_fails_fails_only_those_who_shared_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once Redis is back, the next who asks is told, and at once: a failure earns no rest."""
    monkeypatch.setattr(reasons, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(reasons, "MAX_PAUSE", 60.0)
    job = await want(broker, "d", 2)
    teller, view = ReasonReader(SnapshotReader(broker)), broker.view

    async def away(*_: Any, **__: Any) -> Any:
        raise errors.Unavailable("away")

    monkeypatch.setattr(broker, "view", away)
    both = await asyncio.gather(
        *(teller.reason(TYPE, job) for _ in range(2)), return_exceptions=True
    )
    assert [type(each) for each in both] == [errors.Unavailable] * 2
    monkeypatch.setattr(broker, "view", view)
    assert await teller.reason(TYPE, job) == "there is no host"
