"""Forecasts when waiting jobs start, for one process: one forecast of a type serves all who ask.

The whole line is simulated at once, off the event loop. A forecast is shown
for a minute, less the time since it was made; a request starts the next one. So a page of a hundred
jobs costs no more than one, and forecasts take a bounded part of a process's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.turns import Turns
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Job, Status
from rq_broker.planner import (
    Forecast,
    LineForecast,
    Reason,
    ReasonCode,
    Steps,
    TimedSteps,
    beside_the_line,
    forecast_steps,
)

PAUSE_FACTOR = 4.0
"""After a forecast of a type that took t seconds of CPU time none is made of it for 4 × t seconds.
All forecasts together take a bounded share of a process's time, see Planning. Counted by the clock
on the wall, a busy machine would make the pause longer than a forecast is shown."""
MAX_PAUSE = 10.0
"""Seconds that pause lasts at most: with more, the last forecast would be too old before the next
is made, and nothing could be shown. A what-if, which pauses forecasts too, may take 4 s."""
LEAST_AGE = 1.0
"""Seconds for which a forecast is not made anew, even if that costs little."""
MAX_AGE = 60.0
"""Seconds after which a forecast is not shown any more: too much may have changed since."""
WAIT_SECONDS = 0.8
"""Seconds for which answers wait for a forecast; then they go without. Short lines take less."""
REMEMBERED_BYTES = 32 << 20
"""Memory of the last forecasts: those of 50 long lines. With more in use, some are made anew."""

COMPUTING = Forecast(None, None, Reason(code=ReasonCode.COMPUTING))

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _KeptForecast:
    """The last forecast of a type."""

    forecast: LineForecast
    made: float
    """When its line was read, by the monotonic clock."""
    seconds: float
    """CPU time that it took."""


class Forecaster:
    """Keeps one forecast of each type that somebody asks for."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker = snapshots.broker
        self._kept = BoundedCache[str, _KeptForecast](REMEMBERED_BYTES)
        self._pending: dict[str, asyncio.Task[None]] = {}
        """Type → its next forecast, while its line is not read yet: further requests join it."""
        self._running: dict[str, asyncio.Task[None]] = {}
        """Type → the forecast that is made now."""
        self._wanted: dict[str, float] = {}
        """Type → when somebody first waited for its next forecast."""
        self._turns = Turns()

    async def forecasts(self, type_: str, jobs: Sequence[Job]) -> list[Forecast | None]:
        """Forecast the grants of jobs of one type; None for those that do not wait.

        Raises Unavailable when Redis does not answer.
        """
        waiting = [job for job in jobs if job.status is Status.QUEUED and not job.is_beside]
        if not waiting:
            return [_forecast_beside(job) for job in jobs]
        kept = self._kept.get(type_)
        if kept is None or _age(kept) > MAX_AGE:
            await self._wait_for(type_, self._running.get(type_) or self._refresh(type_))
        elif not _serves(kept, waiting):
            await self._wait_for(type_, self._refresh(type_))
        elif _age(kept) > max(LEAST_AGE, PAUSE_FACTOR * kept.seconds):
            self._refresh(type_)
        kept = self._kept.get(type_)
        if kept is None or _age(kept) > MAX_AGE:
            return [
                _forecast_beside(job) or (COMPUTING if job.status is Status.QUEUED else None)
                for job in jobs
            ]
        return [_forecast_of(job, kept) for job in jobs]

    async def run(self, type_: str, steps: Steps[_Result]) -> _Result:
        """Run a simulation of a type; its next forecast is made after a pause."""
        async with self._turns.of(type_) as turn:
            timed = TimedSteps(steps)
            try:
                return await self._snapshots.planning.run(type_, timed.steps(), inline=False)
            finally:
                turn.pause(min(PAUSE_FACTOR * timed.seconds, MAX_PAUSE))

    async def _wait_for(self, type_: str, refresh: asyncio.Task[None]) -> None:
        """Wait for a forecast, but not long after it was first wanted."""
        now = time.monotonic()
        rest = self._wanted.setdefault(type_, now) + WAIT_SECONDS - now
        done, _ = await asyncio.wait({refresh}, timeout=max(rest, 0.0))
        for task in done:
            task.result()

    def _refresh(self, type_: str) -> asyncio.Task[None]:
        """Make the next forecast of a type, or join the one about to be made."""
        task = self._pending.get(type_)
        if task is None:
            task = self._pending[type_] = asyncio.create_task(self._make(type_))
            task.add_done_callback(_note_failure)
        return task

    async def _make(self, type_: str) -> None:
        try:
            # 1. Wait until the pause after the last forecast of the type ends.
            async with self._turns.of(type_) as turn:
                # 2. Close this one to jobs that come later: they shall not miss in its line.
                self._running[type_] = self._pending.pop(type_)
                # 3. Read and simulate.
                started = time.monotonic()
                line, (snapshot, held) = await asyncio.gather(
                    self._broker.line(type_), self._snapshots.read_capacity(type_)
                )
                steps = forecast_steps(snapshot, line, held.demands, clock=time.thread_time)
                timed = TimedSteps(steps)
                forecast = await self._snapshots.planning.run(type_, timed.steps(), inline=False)
                kept = _KeptForecast(forecast, started, timed.seconds)
                self._kept.put(type_, kept, forecast.bytes)
                turn.pause(min(PAUSE_FACTOR * timed.seconds, MAX_PAUSE))
        finally:
            self._wanted.pop(type_, None)
            for tasks in (self._pending, self._running):
                if tasks.get(type_) is asyncio.current_task():
                    del tasks[type_]


def _serves(kept: _KeptForecast, jobs: Sequence[Job]) -> bool:
    """Return whether a forecast is of these jobs, or of many like them."""
    return not kept.forecast.is_complete or all(kept.forecast.knows(job.id) for job in jobs)


def _age(kept: _KeptForecast) -> float:
    return time.monotonic() - kept.made


def _forecast_of(job: Job, kept: _KeptForecast) -> Forecast | None:
    if job.status is not Status.QUEUED or job.is_beside:
        return _forecast_beside(job)
    rank = (job.position or 1) - 1
    return kept.forecast.of(job.id, rank, job.shape).after(_age(kept))


def _forecast_beside(job: Job) -> Forecast | None:
    """Return the forecast of a job that waits beside the line: none, and why; None for others."""
    return Forecast(None, None, beside_the_line(job)) if job.is_beside else None


def _note_failure(refresh: asyncio.Task[None]) -> None:
    """Read the exception of a task that no request awaits, so that asyncio logs nothing."""
    if not refresh.cancelled():
        refresh.exception()
