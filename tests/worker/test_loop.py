"""The loop that runs a step again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from rq_broker.domain import errors
from rq_broker.worker import loop
from rq_broker.worker.loop import Loop


async def _start(
    step: Callable[[], Awaitable[float | None]],
) -> tuple[Loop, asyncio.Task[None]]:
    started = Loop("test", step)
    return started, asyncio.create_task(started.run())


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_woken_loop_runs_its_step_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that waits runs its step when it is woken, long before the next sweep."""
    monkeypatch.setattr(loop, "LONGEST_WAIT_SECONDS", 3600.0)
    ran = asyncio.Semaphore(0)

    async def step() -> None:
        ran.release()

    started, task = await _start(step)
    for _ in range(3):
        await asyncio.wait_for(ran.acquire(), 10)
        started.wake()
    await asyncio.wait_for(ran.acquire(), 10)
    await _stop(task)


async def test_a_wake_up_during_a_step_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop woken while its step runs, runs it once more."""
    monkeypatch.setattr(loop, "LONGEST_WAIT_SECONDS", 3600.0)
    entered, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def step() -> None:
        entered.release()
        await may_end.wait()

    started, task = await _start(step)
    await asyncio.wait_for(entered.acquire(), 10)
    started.wake()
    may_end.set()
    await asyncio.wait_for(entered.acquire(), 10)
    await _stop(task)


@pytest.mark.parametrize("due", [0.0, 0.01, None, 3600.0])
async def test_a_step_runs_when_it_asked_to_and_at_each_sweep(
    monkeypatch: pytest.MonkeyPatch, due: float | None
) -> None:
    """A loop waits for the seconds its step returned, and no longer than a sweep."""
    monkeypatch.setattr(loop, "LONGEST_WAIT_SECONDS", 0.02)
    ran = asyncio.Semaphore(0)

    async def step() -> float | None:
        ran.release()
        return due

    _, task = await _start(step)
    for _ in range(4):
        await asyncio.wait_for(ran.acquire(), 10)
    await _stop(task)


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("away"), errors.Internal("refused"), errors.JobNotFound("gone")],
    ids=lambda error: error.code,
)
async def test_a_loop_outlives_the_brokers_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: errors.BrokerError
) -> None:
    """Whatever the broker raises, the loop runs the step again; what the store logs it does not."""
    monkeypatch.setattr(loop, "LONGEST_WAIT_SECONDS", 0.01)
    ran = asyncio.Semaphore(0)

    async def step() -> None:
        ran.release()
        raise error

    _, task = await _start(step)
    for _ in range(3):
        await asyncio.wait_for(ran.acquire(), 10)
    assert not task.done()
    await _stop(task)
    assert bool(caplog.messages) != isinstance(error, errors.Unavailable)


async def test_a_loop_stops_though_its_step_fails_at_that_moment() -> None:
    """A step that fails at the moment of its cancellation does not keep the loop running."""
    fails, entered = asyncio.Event(), asyncio.Event()

    async def unavailable() -> None:
        entered.set()
        await fails.wait()
        raise errors.Unavailable("Redis does not answer")

    async def step() -> None:
        await asyncio.gather(unavailable(), asyncio.Event().wait())

    _, task = await _start(step)
    await entered.wait()
    fails.set()
    await asyncio.sleep(0)  # one part has failed, and the step has not been resumed yet
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=3)
    await _stop(task)
    assert done
