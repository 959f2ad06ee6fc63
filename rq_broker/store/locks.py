"""The locks on planning a type, and on polling a source."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class _SeenLock:
    """The lock of another process."""

    text: str
    since: float
    """When this process first saw it so, monotonic."""


class Locks:
    """Turn."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._refusals: dict[tuple[str, str], _SeenLock] = {}
        """Type and subject → the lock of another process that refused this one."""

    async def turn(
        self, type_: str, holder: str, action: str, seconds: float, subject: str = "plan"
    ) -> int:
        """Take or give back the lock on planning a type, or on polling a source.

        Args:
            type_: The type.
            holder: The process that asks.
            action: `take`, at the beginning of a round; `keep`, during one; or `give`.
            seconds: For which the lock must stay untouched, as this process sees it, until its
                holder counts as dead. The process has to ask at least twice for that.
            subject: What is locked: `plan`, or `source:<name>`.

        Returns:
            The term, or 0 when the process does not hold the lock.
        """
        lock = type_, subject
        seen = self._refusals.get(lock)
        is_dead = seen is not None and time.monotonic() - seen.since >= seconds
        reply = await self._runner.run(
            "turn",
            type_,
            holder=holder,
            action=action,
            subject=subject,
            dead=seen.text if seen and is_dead else None,
        )
        if reply.seen is None:
            self._refusals.pop(lock, None)
        elif seen is None or seen.text != reply.seen:
            self._refusals[lock] = _SeenLock(reply.seen, time.monotonic())
        term: int = reply.term
        return term
