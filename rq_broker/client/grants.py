"""A grant that is held, and how a hold may end otherwise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rq_broker.client.call import Json


class HoldError(Exception):
    """Something ended a hold, or the wait for it.

    Args:
        sentence: What.
        job: The job as it was seen last.
    """

    def __init__(self, sentence: str, job: Json | None = None) -> None:
        super().__init__(sentence)
        self.job = job


class NotGranted(HoldError):
    """The job will not be granted any more: it failed, or somebody withdrew it."""


class HoldTimeout(HoldError, TimeoutError):
    """The job was not granted within `timeout`; it was withdrawn."""


class HoldLost(HoldError):
    """The capacity is held no more: the job is gone, has ended, or was granted anew."""


@dataclass(slots=True)
class Grant:
    """Capacity that is held: what `hold` gives."""

    type: str
    request_id: str
    owner_id: str
    fence: int
    """Grows from grant to grant: show it to what you guard, which refuses an older one."""
    hosts: Sequence[str]
    """The host of each instance."""
    job: Json
    """The job as it was granted."""
    hold_at_most: float
    """Seconds that the broker keeps it without renewal."""
    renewed: float
    """When it was renewed last, of time.monotonic."""
    lost: HoldLost | None = None
    """Why it is held no more; None as long as it is held."""
    error: str | None = None
    """Set it to give the job back in `error` with this text, in place of `done`."""

    def check(self) -> None:
        """Raise HoldLost if the capacity is held no more."""
        if self.lost:
            raise self.lost

    @property
    def seconds_left(self) -> float:
        """How long the broker keeps the hold for certain, even if it cannot be renewed."""
        return self.renewed + self.hold_at_most - time.monotonic()
