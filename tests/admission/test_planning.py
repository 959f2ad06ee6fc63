"""Planning: computations in slices off the event loop, types in turns by what they used."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Generator

import pytest

from rq_broker.admission import planning as module
from rq_broker.admission.planning import Planning


def _steps(count: int, work: Callable[[], object] = lambda: None) -> Generator[None, None, int]:
    for _ in range(count):
        work()
        yield
    return count


def _burn() -> None:
    """Use as much CPU time as a slice has."""
    started = time.thread_time()
    while time.thread_time() - started < module.SLICE_SECONDS:
        pass


async def test_a_short_computation_ends_on_the_loop() -> None:
    """A computation of few steps returns its result without another thread."""
    threads = set[int]()
    assert await Planning().run("a", _steps(3, lambda: threads.add(threading.get_ident()))) == 3
    assert threads == {threading.get_ident()}


async def test_a_long_computation_goes_on_where_it_stopped_in_a_thread() -> None:
    """Each step runs once, the first ones on the loop and the rest elsewhere; the loop goes on."""
    planning, threads = Planning(), list[int]()
    turns = 0

    def work() -> None:
        threads.append(threading.get_ident())
        _burn()

    task = asyncio.create_task(planning.run("a", _steps(8, work)))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert await task == len(threads) == 8
    assert len(set(threads)) == 2
    assert threads.count(threading.get_ident()) == 1
    assert turns > 1


async def test_a_type_that_was_slow_does_not_begin_on_the_loop_again() -> None:
    """After a long computation the type's next one begins in the thread, until one is short."""
    planning, here = Planning(), threading.get_ident()
    await planning.run("a", _steps(2, _burn))
    threads = list[int]()
    for _ in range(2):
        await planning.run("a", _steps(1, lambda: threads.append(threading.get_ident())))
    assert here not in threads[:1]
    assert threads[1] == here


async def test_types_take_turns_by_what_they_used() -> None:
    """A short computation of another type ends while a long one, begun before, is under way."""
    planning, order = Planning(), list[str]()
    may_go_on = threading.Event()

    def fat() -> None:
        may_go_on.wait(10)
        _burn()
        order.append("fat")

    others = ("b", "c", "d")
    task = asyncio.create_task(planning.run("fat", _steps(30, fat), inline=False))
    await asyncio.sleep(0)
    small = [
        asyncio.create_task(planning.run(type_, _steps(2, lambda: None), inline=False))
        for type_ in others
    ]
    for other in small:
        other.add_done_callback(lambda _: order.append("small"))
    await asyncio.sleep(0)
    may_go_on.set()
    await asyncio.gather(*small)
    assert not task.done()
    assert await task == 30
    assert order.index("small") < order.index("fat") + 10
    assert order[-1] == "fat"


async def test_a_short_computation_passes_a_long_one_of_its_type() -> None:
    """A computation ends while a longer one of the same type, begun before, is under way."""
    planning, began, may_go_on = Planning(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def step() -> None:
        loop.call_soon_threadsafe(began.set)
        may_go_on.wait(10)
        _burn()

    long = asyncio.create_task(planning.run("a", _steps(20, step), inline=False))
    await began.wait()
    short = asyncio.create_task(planning.run("a", _steps(2), inline=False))
    await asyncio.sleep(0)
    may_go_on.set()
    assert await short == 2
    assert not long.done()
    assert await long == 20


async def test_two_long_types_share_the_thread() -> None:
    """Of two types with equal work none ends before the other has done most of its own."""
    planning, done = Planning(), {"a": 0, "b": 0}
    at_end = dict[str, int]()

    def step(type_: str) -> None:
        _burn()
        done[type_] += 1

    async def run(type_: str, other: str) -> None:
        await planning.run(type_, _steps(12, lambda: step(type_)), inline=False)
        at_end[type_] = done[other]

    await asyncio.gather(run("a", "b"), run("b", "a"))
    assert min(at_end.values()) >= 8


@pytest.mark.parametrize("inline", [True, False])
async def test_an_error_reaches_the_caller(inline: bool) -> None:
    """What a step raises is raised to the caller, and others go on."""
    planning = Planning()

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await planning.run("a", _steps(1, fail), inline=inline)
    assert await planning.run("a", _steps(1), inline=inline) == 1


async def test_a_cancelled_computation_is_closed() -> None:
    """The steps of a caller that went away are not run to their end."""
    planning, count, closed = Planning(), [0], threading.Event()

    def steps() -> Generator[None, None, None]:
        try:
            while True:
                count[0] += 1
                _burn()
                yield
        finally:
            closed.set()

    task = asyncio.create_task(planning.run("a", steps()))
    while not count[0]:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(closed.wait, 10)
    assert await planning.run("b", _steps(1), inline=False) == 1


async def test_types_of_the_past_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many types there were, few are remembered, and none that waits is lost."""
    monkeypatch.setattr(module, "REMEMBERED_TYPES", 10)
    planning = Planning()
    for number in range(100):
        assert await planning.run(f"t{number}", _steps(1, lambda: None), inline=False) == 1
    gc.collect()
    assert len(planning._accounts) <= 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that goes on only as a slice works and the thread sleeps."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(time, "thread_time", lambda: clock.used)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


class Clock:
    """Time by the clock, CPU time of the thread that plans, and how long that slept."""

    def __init__(self) -> None:
        self.now = self.used = 1000.0
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.now += seconds
        self.slept += seconds

    def work(self) -> None:
        """Work for a slice."""
        self.now += module.SLICE_SECONDS
        self.used += module.SLICE_SECONDS


def _slices(seconds: float) -> int:
    return round(seconds / module.SLICE_SECONDS)


async def test_a_share_below_one_leaves_pauses(clock: Clock) -> None:
    """With half of the time the thread sleeps for as long as it works, but for the first burst."""
    work = 2 * module.BURST_SECONDS
    await Planning(0.5).run("a", _steps(_slices(work), clock.work), inline=False)
    assert clock.slept == pytest.approx(work - module.BURST_SECONDS, abs=2 * module.SLICE_SECONDS)


async def test_a_short_computation_after_a_rest_has_no_pauses(clock: Clock) -> None:
    """A computation of less than a burst is not interrupted, each time that nothing went before."""
    planning, count = Planning(0.5), _slices(module.BURST_SECONDS) - 1
    for _ in range(3):
        await planning.run("a", _steps(count, clock.work), inline=False)
        assert clock.slept == 0
        clock.now += module.BURST_SECONDS


async def test_a_loop_of_short_computations_has_its_share_only(clock: Clock) -> None:
    """Computations without a rest between them get no burst each: half of the time is pauses."""
    planning, began = Planning(0.5), clock.now
    for _ in range(40):
        await planning.run("a", _steps(_slices(0.1), clock.work), inline=False)
    assert clock.slept == pytest.approx((clock.now - began) / 2, rel=0.1)
