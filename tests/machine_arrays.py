"""The rules of the state machine that work on arrays of jobs as a whole."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.arrays import Array, ArraySubmission, Template, job_name
from rq_broker.domain.jobs import Demand, Shape, Status
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import AtOnce, Terms
from rq_broker.store.keys import Keys, member
from tests.machine_moves import Mover
from tests.model_job import NO_TERMS, MArray, MJob
from tests.strategies import ARRAY, DEMANDS, OWNERS, PLACES, PRIORITIES, TERMS, TYPE


class NewArray(NamedTuple):
    """What the submit of an array says."""

    jobs: int
    at_once: int | None
    is_called: bool
    """Whether its jobs have callbacks."""
    priority: int | None
    demand: Demand
    terms: Terms


NEW_ARRAYS = st.builds(
    NewArray,
    st.integers(1, 3),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
    PRIORITIES,
    DEMANDS,
    TERMS,
)


class ArrayRules(Mover):
    """Submits, moves and withdraws an array of each owner by the broker and by the model alike."""

    @rule(owner=OWNERS, drawn=NEW_ARRAYS)
    def submit_array(self, owner: str, drawn: NewArray) -> None:
        name, priority, most = self.array_name(owner), drawn.priority, drawn.at_once
        count = drawn.jobs
        shape = Shape(drawn.demand, owner, "http://x:80" if drawn.is_called else OFFER)
        asked, kept = (
            replace(shape, at_once=AtOnce(array, most) if most else None) for array in (ARRAY, name)
        )
        given, awaited = self.terms(drawn.terms, owner)
        url = Template(("http://x/s-", "")) if drawn.is_called else Template(("",))
        data = Template(('{"n":"', '"}'))
        own = None if given == NO_TERMS else given
        new = ArraySubmission(
            ARRAY, owner, count, data, url, (asked,), priority, terms=own, at_once=most
        )
        first = self.model.ids + 1
        jobs = [
            MJob(
                first + index,
                job_name(name, index),
                owner,
                url.fill(index),
                data.fill(index),
                priority or 0,
                kept,
                own_priority=priority is not None,
                terms=awaited,
            )
            for index in range(count)
        ]
        array = MArray(name, owner, count, first)
        answer, _ = self.both(
            self.broker.submit_array(TYPE, new), lambda: self.model.submit_array(array, jobs)
        )
        if answer is not None and priority is None:
            shared = self.run(self.broker.read(TYPE, jobs[0].request_id)).priority
            assert shared > self.model.clock
            self.model.clock = shared
            for job in jobs:
                job.priority = shared

    @rule(owner=OWNERS)
    def withdraw_array(self, owner: str) -> None:
        array = self._read(owner)
        if array is not None:
            for job in self.model.members(self.model.arrays[array.name]):
                self.model.withdraw(job.request_id)
            assert not self.run(self.broker.withdraw_array(array))

    @rule(owner=OWNERS, to=st.one_of(PLACES, st.tuples(st.just("priority"), st.just("2"))))
    def reorder_array(self, owner: str, to: tuple[str, str]) -> None:
        """Those that wait in the line stand together afterwards, by number; no others change."""
        array = self._read(owner)
        if array is None:
            return
        others = self._others(array)
        to = self.place(to)
        try:
            priority = self.run(self.broker.reorder_array(array, *to))
        except (errors.NotWaiting, errors.JobNotFound, errors.NoRoom):
            priority = None
        self._adopt_priorities()
        assert self._others(array) == others
        waiting = [job for job in self._members(array) if job.status is Status.QUEUED]
        if priority is None:
            for job in waiting:
                own = Keys(TYPE).of("own_priority"), member(job.id, job.request_id)
                job.own_priority = bool(self.run(self.broker.runner.command("SISMEMBER", *own)))
            return
        for job in waiting:
            job.priority, job.own_priority = priority, True
        line, moved = self.model.queue(), [job for job in waiting if not job.beside]
        if to[0] != "priority" and moved:
            at = line.index(moved[0])
            assert line[at : at + len(moved)] == moved

    @invariant()
    def arrays_match_the_model(self) -> None:
        """Compare which arrays there are, and how many of their jobs have each status."""
        for owner in ("o", "o/p:q") if self.per_owner else ("o",):
            array = self._read(owner)
            known = self.model.arrays.get(self.array_name(owner))
            assert (array is None) == (known is None)
            if array and known:
                counts = {status: count for status, count in array.counts.items() if count}
                assert (array.owner_id, array.count) == (known.owner, known.count)
                assert counts == self.model.counts(known)

    def _read(self, owner: str) -> Array | None:
        owners = [owner] if self.per_owner else None
        try:
            return self.run(self.broker.read_array(TYPE, ARRAY, owners))
        except errors.JobNotFound:
            return None

    def _members(self, array: Array) -> list[MJob]:
        return self.model.members(self.model.arrays[array.name])

    def _others(self, array: Array) -> list[str]:
        """Return the line in order, without the jobs of an array."""
        own = self._members(array)
        return [job.request_id for job in self.model.queue() if job not in own]

    def _adopt_priorities(self) -> None:
        """Take over the priorities of waiting jobs: those that make room may change theirs."""
        for job in self.run(self.broker.page(TYPE, status="queued")).jobs:
            self.model.jobs[job.request_id].priority = job.priority
