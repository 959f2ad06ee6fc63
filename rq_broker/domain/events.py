"""An event: something that happened to a job or to its type, as the type's stream tells it."""

from __future__ import annotations

from msgspec import Struct

from rq_broker.domain.jobs import BESIDE, Status

MOST_WAIT_SECONDS = 60
"""Longest wait of one read. Most proxies give up a request without an answer at about this time."""
DELETED = "deleted"
"""The word of a job that is gone: withdrawn, or its retention ended."""
LOST = "lost"
"""The word for a gap: events before it may be missing."""
FINAL = frozenset({Status.DONE.value, Status.ERROR.value, DELETED})
"""Words after which nothing happens to a job unless somebody puts it back in the queue."""
_STATUSES: dict[str, Status] = {status.value: status for status in Status} | {BESIDE: Status.QUEUED}


class Event(Struct, frozen=True, eq=False):
    """One event. Two are equal only if they are one object, so that one is hashed in no time."""

    id: str
    """ID of its entry in the stream; of a gap that of the last event before it, '' for none."""
    word: str
    """What happened: a new status of the job, or `deleted`, `reordered`, `expected`, …"""
    type: str
    at: int = 0
    """When, µs since 1970."""
    name: str = ""
    """The job's name; '' for an event of the type."""
    job_id: int = 0
    """The job's ID, 0 for an event of the type or of an array as a whole."""
    owner: str | None = None
    """The job's owner; None where the entry does not say."""
    old_status: Status | None = None
    """The job's status before; None if it was not there."""
    new_status: Status | None = None
    """The job's status since; None if it is gone."""
    by: str | None = None
    """Name of the identity that did it; '' for the broker itself, None where the entry does not
    say."""
    details: tuple[tuple[str, str], ...] = ()
    """What else is known: name and value."""

    @property
    def is_of_a_job(self) -> bool:
        """Whether it is of a job, or of an array."""
        return bool(self.name)

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the stream."""
        return place_of(self.id)


def place_of(entry_id: str) -> tuple[int, int]:
    """Read the ID of an entry, such as `1700000000000-3`; '' is before all of them."""
    if not entry_id:
        return (0, 0)
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def gap(type_: str, after: str, why: str, at: int) -> Event:
    """Return the event of a gap behind an entry. `why`: `trimmed`, `state_lost` or `slow`."""
    return Event(after, LOST, type_, at, details=(("reason", why),))


def statuses_of(word: str, before: str | None) -> tuple[Status | None, Status | None]:
    """Return a job's status before and after an event, of what its entry says."""
    old = _STATUSES.get(before or "")
    if word == DELETED:
        return old, None
    return old, _STATUSES.get(word, old)
