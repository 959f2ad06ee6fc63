"""What the events of a type tell of one job: its own, those of its array, and gaps."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from rq_broker.domain.arrays import array_of
from rq_broker.domain.events import LOST, Event
from rq_broker.domain.jobs import Job, Status

MOVE_SPAN_US = 5_000_000
"""A move of an array of 10,000 jobs is told a hundred times, one time for each page of them. Events
of it that follow each other this closely, by the same identity, are one move to each job."""


def told_of(job: Job, event: Event) -> Event | None:
    """Return what an event tells of a job; None if nothing. A gap may be of any job.

    The jobs of an array have no event of their submit: that of their part of the array tells it.
    """
    if event.word == LOST or _is_own(job, event):
        return event
    if event.job_id <= job.id < event.job_id + _stored_jobs(event):
        return replace(event, name=job.request_id, job_id=job.id, details=())
    return None


class JobHistory:
    """The events of a job, in their order, as far as the type's stream has them."""

    def __init__(self, job: Job, events: Iterable[Event]) -> None:
        self.events: list[Event] = []
        self._job = job
        self._is_of_array = True
        """Whether it may belong to the array that its name says."""
        self._last_move: Event | None = None
        """The last event of its array's moves, where nothing else followed it."""
        for event in events:
            self._add(event)

    @property
    def is_complete(self) -> bool:
        """Whether it begins with the job's submit, and nothing can be missing since."""
        begins = bool(self.events) and _is_submit(self.events[0])
        return begins and all(event.word != LOST for event in self.events)

    def _add(self, event: Event) -> None:
        told = told_of(self._job, event)
        if told is None:
            if self._moves_with_array(event):
                self._add_move(event)
            return
        if _is_submit(told):
            self.events.clear()  # gaps from before it was there concern others
            self._is_of_array = _stored_jobs(event) > 0
        self._last_move = None
        self.events.append(told)

    def _moves_with_array(self, event: Event) -> bool:
        """Return whether an event tells of a move of the job's array, in which it had a part."""
        name = array_of(event.name)
        return (
            name is not None
            and (event.job_id, event.word) == (0, "reordered")
            and self._is_of_array
            and self._job.request_id.rpartition("[")[0] == name
            and event.owner == self._job.owner_id
            and (not self.events or self.events[-1].new_status is Status.QUEUED)
        )

    def _add_move(self, event: Event) -> None:
        last, self._last_move = self._last_move, event
        if last is None or last.by != event.by or event.at - last.at > MOVE_SPAN_US:
            name, job_id = self._job.request_id, self._job.id
            self.events.append(replace(event, name=name, job_id=job_id))


def _is_own(job: Job, event: Event) -> bool:
    return event.job_id == job.id and not _stored_jobs(event)


def _stored_jobs(event: Event) -> int:
    """Return how many jobs of an array a submit stored; 0 for another event."""
    text = dict(event.details).get("jobs", "") if event.details else ""
    return int(text) if text.isdecimal() else 0


def _is_submit(event: Event) -> bool:
    return event.old_status is None and event.new_status is not None
