"""Wake-ups: how notifiers learn that a type has work, over one subscription a process.

Scripts publish on one channel, see lua/lib/wake.lua. Messages are hints and may be lost; the sorted
sets are the truth, and `due` reads them. Notifiers publish on the same channel: beats, by which
each knows that its own subscription still carries messages, and work that they pass on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from redis import exceptions

from rq_broker.domain import errors
from rq_broker.store.keys import TYPES, WAKE_CHANNEL, Keys
from rq_broker.store.runner import Runner
from rq_broker.store.subscription import subscribe

_log = logging.getLogger(__name__)

Marker = Literal["grant", "deliver", "unproven", "sweep", "test"]
"""The work of a type: grant capacity; deliver callbacks, or those to destinations not known to
answer promptly; end what is past its deadline; send receiver tests."""
_MARKERS = frozenset(get_args(Marker))
SILENCE_SECONDS = 3.0
"""Seconds without its own beat after which a subscription is given up. Shorter ones give up a
subscription of a Redis that is merely slow; with longer ones, work waits longer after a loss."""


@dataclass(frozen=True, slots=True)
class Wake:
    """A message: a type has work."""

    type: str
    marker: Marker
    delay: float = 0.0
    """Seconds until the work is due."""
    level: int = 0
    """How often it was passed on to further notifiers, as those before were too busy."""


@dataclass(frozen=True, slots=True)
class Due:
    """What work a type has, now and next."""

    markers: frozenset[Marker]
    """Markers of work that no step has begun."""
    deliver: float | None
    """Seconds until the next delivery falls due; None if there is none."""
    sweep: float | None
    """Seconds until a sweep has work; None if nothing waits for one."""
    waiting: bool
    """Whether jobs wait for capacity."""
    unused: bool
    """Whether the type looks empty, so that forget_type may delete what is left of it."""


class Wakes:
    """listen, beat, hand_over, has_marker, due."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._is_silent = False
        """Whether the subscription carries no messages, as the log was told."""

    async def due(self, type_: str) -> Due:
        """Read what work a type has, now and next."""
        reply = await self._runner.run("due", type_)
        return Due(
            frozenset(marker for marker in reply.markers if marker in _MARKERS),
            None if reply.deliver is None else reply.deliver / 1000,
            None if reply.sweep is None else reply.sweep / 1000,
            reply.waiting,
            reply.unused,
        )

    async def has_marker(self, type_: str, marker: Marker) -> bool:
        """Tell whether work that a wake-up was about has not been begun by anybody."""
        score = await self._runner.command("ZSCORE", Keys(type_).of("wake"), marker)
        return score is not None

    async def hand_over(self, type_: str, marker: Marker, level: int = 0) -> None:
        """Tell the other notifiers of work that this one leaves to them."""
        await self._runner.command("PUBLISH", WAKE_CHANNEL, f"{type_} {marker} 0 {level}")

    async def beat(self, name: str) -> None:
        """Publish a beat, which `listen` of the same notifier expects to hear."""
        await self._runner.command("PUBLISH", WAKE_CHANNEL, _beat(name))

    async def listen(
        self, name: str, heard: Callable[[Wake], object], subscribed: Callable[[], object]
    ) -> None:
        """Subscribe, and pass on every message until the subscription is lost.

        Args:
            name: The notifier's own, whose beats must be heard.
            heard: Called with each wake-up.
            subscribed: Called each time the subscription begins; what was published before it,
                was missed.

        Raises:
            Unavailable: Redis cannot be reached, or the notifier's own beats are not heard.
        """
        client = self._runner.subscriber()
        hearing = _Hearing(name, heard, subscribed, self._note_beat)
        listening = asyncio.create_task(
            subscribe(client, WAKE_CHANNEL, hearing.take, SILENCE_SECONDS)
        )
        try:
            while (remaining := hearing.silence_left()) > 0:
                if (await asyncio.wait({listening}, timeout=remaining))[0]:
                    await listening  # raises why it ended
            raise self._silence()
        except (exceptions.RedisError, OSError) as error:
            raise self._runner.refusal(error, TYPES) from error
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            if client is not self._runner.client:
                await client.aclose()

    def _silence(self) -> errors.Unavailable:
        """Log once that the subscription carries nothing, unless Redis is in trouble altogether."""
        text = "the subscription to wake-ups carries no messages"
        if not self._is_silent and not self._runner.trouble.present:
            _log.warning("%s: work is found by checks, which take seconds", text)
            self._is_silent = True
        return errors.Unavailable(text)

    def _note_beat(self) -> None:
        if self._is_silent:
            _log.warning("the subscription to wake-ups carries messages again")
        self._is_silent = False


class _Hearing:
    """Tells beats from wake-ups, and knows when the last own beat was heard."""

    def __init__(
        self,
        name: str,
        heard: Callable[[Wake], object],
        subscribed: Callable[[], object],
        beat_heard: Callable[[], object],
    ) -> None:
        self._own_beat = _beat(name)
        self._heard = heard
        self._subscribed = subscribed
        self._beat_heard = beat_heard
        self._last_beat = time.monotonic()

    def take(self, kind: str, text: str) -> None:
        """Take a message of the channel."""
        if kind == "subscribe":
            self._subscribed()
        elif text == self._own_beat:
            self._last_beat = time.monotonic()
            self._beat_heard()
        elif wake := _parse(text):
            self._heard(wake)

    def silence_left(self) -> float:
        """Return the seconds for which no own beat need be heard yet."""
        return self._last_beat + SILENCE_SECONDS - time.monotonic()


def _beat(name: str) -> str:
    return f"{name} beat 0 0"


def _parse(text: str) -> Wake | None:
    """Read a message; None for one that no script and no notifier publishes."""
    try:
        type_, marker, delay, level = text.rsplit(" ", 3)
        if marker in _MARKERS:
            return Wake(type_, marker, int(delay) / 1000, int(level))  # type: ignore[arg-type] # one of _MARKERS
    except ValueError:
        pass
    return None
