"""Which notifier acts on a wake-up: the first at once, others where it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from rq_broker.store.broker import Broker, Marker, Wake
from rq_broker.worker.dispatcher import HELPERS, Dispatcher
from rq_broker.worker.known_types import KnownTypes
from rq_broker.worker.steps import Step
from rq_broker.worker.timers import Timers
from tests.making import TYPE, submit


@dataclass
class ScriptedFleet:
    """A notifier with a given rank among given notifiers."""

    own_rank: int | None = 0
    size: int = 5

    def rank(self, type_: str) -> int | None:  # noqa: ARG002 - the signature of Fleet
        return self.own_rank

    def count(self, type_: str) -> int:  # noqa: ARG002 - the signature of Fleet
        return self.size


@dataclass
class RecordingSteps:
    """Steps that only note which were started."""

    started: asyncio.Queue[tuple[str, Step]] = field(default_factory=asyncio.Queue)
    running: set[Step] = field(default_factory=set)

    def start(self, type_: str, step: Step) -> None:
        self.started.put_nowait((type_, step))

    def is_running(self, type_: str, step: Step) -> bool:  # noqa: ARG002 - the signature of Steps
        return step in self.running


class Scene:
    """A dispatcher with the parts that a test sets."""

    def __init__(self, broker: Broker) -> None:
        self.fleet, self.steps = ScriptedFleet(), RecordingSteps()
        self.has_slots = True
        types = KnownTypes(broker, [TYPE])
        self.timers = Timers()
        self.dispatcher = Dispatcher(broker, self.fleet, types, self.timers)  # type: ignore[arg-type] # a stand-in
        self.dispatcher.use(self.steps, self._can_take)  # type: ignore[arg-type] # a stand-in

    def _can_take(self, marker: Marker) -> bool:  # noqa: ARG002 - what Notifier gives
        return self.has_slots

    async def started(self) -> tuple[str, Step]:
        async with asyncio.timeout(10):
            return await self.steps.started.get()

    async def nothing_started(self) -> None:
        """Wait until what the wake-up led to is over, and nothing was started."""
        async with asyncio.timeout(10):
            while len(self.timers) or self.dispatcher.busy:
                await asyncio.sleep(0.01)
        assert self.steps.started.empty()


@pytest.fixture
async def scene(broker: Broker) -> AsyncIterator[Scene]:
    scene = Scene(broker)
    yield scene
    scene.timers.cancel()
    await scene.dispatcher.stop()


@pytest.mark.parametrize(
    ("marker", "step"),
    [("grant", "grant"), ("deliver", "deliver"), ("unproven", "deliver"), ("sweep", "sweep")],
)
async def test_the_first_notifier_acts_at_once(scene: Scene, marker: Marker, step: Step) -> None:
    """A wake-up starts its step in the first notifier, without a question to Redis."""
    scene.dispatcher.heard(Wake(TYPE, marker))
    assert scene.steps.started.get_nowait() == (TYPE, step)


async def test_a_helper_acts_if_the_work_was_not_begun(scene: Scene, broker: Broker) -> None:
    """The second notifier looks later, and starts the step while its marker is there."""
    scene.fleet.own_rank = 1
    await submit(broker)
    scene.dispatcher.heard(Wake(TYPE, "grant"))
    assert scene.steps.started.empty()
    assert await scene.started() == (TYPE, "grant")


async def test_a_helper_leaves_work_that_was_begun(scene: Scene, broker: Broker) -> None:
    """The second notifier does nothing once the first has begun."""
    scene.fleet.own_rank = 1
    await submit(broker)
    scene.dispatcher.heard(Wake(TYPE, "grant"))
    await broker.turn(TYPE, "first", "take", 2.0)
    await scene.nothing_started()


@pytest.mark.parametrize("rank", [None, HELPERS])
async def test_the_others_do_nothing(scene: Scene, broker: Broker, rank: int | None) -> None:
    """A notifier of other types, or behind the helpers, does not act on a wake-up."""
    scene.fleet.own_rank = rank
    await submit(broker)
    scene.dispatcher.heard(Wake(TYPE, "grant"))
    await scene.nothing_started()


async def test_the_last_helper_passes_on_what_it_has_no_slots_for(
    scene: Scene, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first notifiers are full, the next ones are asked."""
    passed_on = asyncio.Queue[tuple[str, Marker, int]]()

    async def hand_over(type_: str, marker: Marker, level: int = 0) -> None:
        passed_on.put_nowait((type_, marker, level))

    monkeypatch.setattr(broker, "hand_over", hand_over)
    scene.fleet.own_rank, scene.has_slots = HELPERS - 1, False
    await submit(broker)
    scene.dispatcher.heard(Wake(TYPE, "grant"))
    async with asyncio.timeout(10):
        assert await passed_on.get() == (TYPE, "grant", 1)
    scene.fleet.own_rank, scene.has_slots = HELPERS, True
    scene.dispatcher.heard(Wake(TYPE, "grant", level=1))
    assert await scene.started() == (TYPE, "grant")


async def test_a_deadline_is_watched_by_the_first_notifier(scene: Scene) -> None:
    """Work that is due later starts its step then; the others do not watch it."""
    scene.dispatcher.heard(Wake(TYPE, "sweep", delay=0.01))
    assert scene.steps.started.empty()
    assert await scene.started() == (TYPE, "sweep")
    scene.fleet.own_rank = 1
    scene.dispatcher.heard(Wake(TYPE, "sweep", delay=0.01))
    await scene.nothing_started()


async def test_a_watched_deadline_is_handed_over(
    scene: Scene, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notifier that is not the first any more tells the first when a deadline has come."""
    handed_over = asyncio.Queue[tuple[str, Marker]]()

    async def hand_over(type_: str, marker: Marker, level: int = 0) -> None:  # noqa: ARG001 - as Broker
        handed_over.put_nowait((type_, marker))

    monkeypatch.setattr(broker, "hand_over", hand_over)
    scene.dispatcher.watch(TYPE, "sweep", 0.01)
    scene.fleet.own_rank = 1
    async with asyncio.timeout(10):
        assert await handed_over.get() == (TYPE, "sweep")
    assert scene.steps.started.empty()


async def test_a_type_of_another_database_is_left_alone(scene: Scene, broker: Broker) -> None:
    """A wake-up of an unknown type without a marker here starts nothing, and lists no type."""
    scene.dispatcher.heard(Wake("elsewhere", "grant"))
    await scene.nothing_started()
    assert await broker.names() == []
    await submit(broker, type_="new")
    scene.dispatcher.heard(Wake("new", "grant"))
    assert await scene.started() == ("new", "grant")
