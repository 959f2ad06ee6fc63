"""The rules of the state machine that move waiting jobs."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis.stateful import rule

from rq_broker.domain import errors
from rq_broker.domain.validation import MAX_WHOLE
from tests.machine import Caller
from tests.strategies import NAMES, PLACES, PRIORITIES, TYPE


class Seen(NamedTuple):
    """A move that was previewed."""

    name: str
    to: tuple[str, str]
    line: str
    passed: set[int]


class Mover(Caller):
    """Moves jobs by the broker and by the model alike."""

    seen: Seen | None = None

    @rule(name=NAMES, priority=PRIORITIES)
    def reorder(self, name: str, priority: int | None) -> None:
        name = self.stored(name)
        call = self.broker.reorder(TYPE, name, "priority", str(priority or 0))
        answer, _ = self.both(call, lambda: self.model.reorder(name, priority or 0))
        assert answer is None or answer.priority == (priority or 0)

    @rule(name=NAMES, to=PLACES)
    def reorder_beside(self, name: str, to: tuple[str, str]) -> None:
        name, to = self.stored(name), self.place(to)
        call = self.broker.reorder(TYPE, name, *to)
        try:
            answer, order = self.both(call, lambda: self.model.slot(name, *to))
        except errors.NoRoom:
            assert any(abs(job.priority) > MAX_WHOLE - 9999 for job in self.model.queue())
            return
        if order is not None:
            moved = {job.request_id: job for job in self.run(self.broker.page(TYPE)).jobs}
            queued = [job for job in moved.values() if job.position is not None]
            assert [job.request_id for job in queued] == order
            assert moved[name].priority == answer.priority
            assert moved[name].position == answer.position
            assert all(abs(job.priority) <= MAX_WHOLE for job in queued)
            for job in queued:
                self.model.jobs[job.request_id].priority = job.priority
            self.model.jobs[name].own_priority |= to[0] not in ("before", "after") or to[1] != name

    @rule(name=NAMES, to=PLACES)
    def see_a_move(self, name: str, to: tuple[str, str]) -> None:
        name, to = self.stored(name), self.place(to)
        call = self.broker.reorder(TYPE, name, *to, dry_run=True)
        told, order = self.both(call, lambda: self.model.slot(name, *to))
        if order is not None:
            assert told.position == order.index(name) + 1
            self.seen = Seen(name, to, told.line, self.model.passed(name, order))

    @rule()
    def move_as_seen(self) -> None:
        """A move by a version passes nobody whom it was not seen to pass, or is refused."""
        if self.seen is None:
            return
        name, to, line, passed = self.seen
        try:
            self.run(self.broker.reorder(TYPE, name, *to, line=line))
        except (errors.ChangedMeanwhile, errors.NotWaiting, errors.JobNotFound, errors.NoRoom):
            return
        queued = [job for job in self.run(self.broker.page(TYPE)).jobs if job.position is not None]
        order = [job.request_id for job in queued]
        others = [job.request_id for job in self.model.queue() if job.request_id != name]
        assert [other for other in order if other != name] == others
        if to != ("position", "back"):
            assert self.model.passed(name, order) <= passed
        for job in queued:
            self.model.jobs[job.request_id].priority = job.priority
        self.model.jobs[name].own_priority |= to[0] not in ("before", "after") or to[1] != name
