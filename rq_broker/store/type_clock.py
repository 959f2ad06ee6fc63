"""Knows the time of each type that this process works on, and has steps of Redis's clock taken out.

Between two looks at Redis the time goes on by this process's monotonic clock. Each script that goes
by the type's clock is told that time, and refuses to work where its own differs; then this process
measures what is true. How the type's clock is kept is told in lua/lib/clock.lua.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rq_broker.store.keys import Keys
from rq_broker.store.scripts import Script

if TYPE_CHECKING:
    from rq_broker.store.runner import Runner

_log = logging.getLogger(__name__)

TRUSTED_SECONDS = 60.0
"""How long a time is trusted before Redis is read again: two clocks drift apart by less than 60 ms
meanwhile. A shorter time costs calls."""
STEP_MS = 2000.0
"""A difference above this is a step, as for scripts."""
QUICK_SECONDS = 1.0
"""A reply within this tells what time it is; a slower one tells little of when it was made."""
ATTEMPTS = 3
"""How often a script is tried with a time that is measured anew. Then it goes by Redis alone."""
REMEMBERED_TYPES = 20_000
"""Types whose time is known, some 200 bytes each. With more in use they are forgotten all at once,
and read again."""


class ClockInDoubt(Exception):
    """A script wrote nothing, since its time is not the one that it was told; runs are repeated."""


def is_doubt(error: Exception) -> bool:
    """Return whether an error of Redis is a script's refusal for the time it was told."""
    return str(error).startswith("CLOCK_IN_DOUBT")


@dataclass(frozen=True, slots=True)
class ClockSteps:
    """Steps of Redis's clock that were taken out of a type's clock."""

    count: int
    seconds: float
    """By how much the last one was ahead; below 0 if the clock was set back."""
    at: float
    """When that was, by the type's clock, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class _Time:
    """A moment of a type's clock."""

    milliseconds: float
    at: float
    """When that was, by this process's clock."""
    offset: int
    """What was added to Redis's wall clock then, ms."""

    def now(self) -> float:
        return self.milliseconds + (_own_clock() - self.at) * 1000


def _own_clock() -> float:
    """Return seconds of a clock that nobody can step; where it can, it goes on in standby."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class TypeClocks:
    """The clocks of all types, for one process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._times: dict[str, _Time] = {}

    async def run(
        self, script: Script, type_: str, values: Sequence[Any], actor: Sequence[str]
    ) -> Any:
        """Run a script that goes by the type's clock; return its encoded reply.

        `actor` stands behind the time; empty for none.
        """
        for _ in range(ATTEMPTS):
            known = self._times.get(type_)
            if known is None or _own_clock() - known.at > TRUSTED_SECONDS:
                known = await self._measure(type_)
            try:
                believed = round(known.now())
                return await self._runner.evaluate(script, type_, [*values, believed, *actor])
            except ClockInDoubt:
                await self._measure(type_)
        arguments = [*values, "", *actor] if actor else values
        return await self._runner.evaluate(script, type_, arguments)

    async def now(self, type_: str) -> float:
        """Read the type's time, seconds since 1970."""
        return (await self._measure(type_)).milliseconds / 1000

    async def steps(self, type_: str) -> ClockSteps | None:
        """Read which steps were taken out of the type's clock, None if there was none."""
        fields = ("clock_steps", "clock_step", "clock_stepped")
        texts = await self._runner.command("HMGET", Keys(type_).base, *fields)
        if texts[0] is None:
            return None
        return ClockSteps(int(texts[0]), int(texts[1]) / 1000, int(texts[2]) / 1000)

    async def _measure(self, type_: str) -> _Time:
        """Read the type's clock; a step of Redis's clock since the last time is taken out."""
        known = self._times.get(type_)
        for _ in range(ATTEMPTS):
            begun = _own_clock()
            reply = await self._runner.run("clock", type_)
            ended = _own_clock()
            if ended - begun <= QUICK_SECONDS:
                break
        shown = reply.wall / 1000 + reply.offset
        measured = _Time(max(shown, reply.latest), ended, reply.offset)
        is_same_clock = known is not None and known.offset == reply.offset
        if known is not None and is_same_clock and ended - begun <= QUICK_SECONDS:
            step = round(shown - known.now())
            if abs(step) > STEP_MS:
                return await self._take_out(type_, known, reply.offset, step)
        return self._remember(type_, measured)

    async def _take_out(self, type_: str, known: _Time, offset: int, step: int) -> _Time:
        """Have a step taken out of the type's clock, which goes on as this process knows it."""
        reply = await self._runner.run("step", type_, offset=offset, step=step)
        if not reply.taken:  # another process was first
            self._times.pop(type_, None)
            return await self._measure(type_)
        _log.warning(
            "type %s: Redis's clock was set %s by %.1f s; deadlines and leases keep their length",
            type_, "forward" if step > 0 else "back", abs(step) / 1000,
        )  # fmt: skip
        return self._remember(type_, _Time(known.now(), _own_clock(), offset - step))

    def _remember(self, type_: str, measured: _Time) -> _Time:
        if len(self._times) >= REMEMBERED_TYPES and type_ not in self._times:
            self._times.clear()
        self._times[type_] = measured
        return measured
