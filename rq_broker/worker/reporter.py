"""Counts the events of a type for its reports, behind what happens and beside it.

Any notifier may count: what it adds is written together with how far it counted, and refused if
another one counted meanwhile. A notifier that dies leaves everything or nothing of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rq_broker.admission.waiting_sums import waiting_sums
from rq_broker.domain.report_sums import Sample
from rq_broker.domain.reports import MOST_RESOURCES, ReportState, Tally
from rq_broker.store.broker import Broker, NewEvents, ReportHead, TypeState
from rq_broker.store.reports import BATCH, in_slices

COUNT_SECONDS = 1.0
"""Seconds between two runs while few events come. With more, a stream of 10,000 events may be
trimmed before they are counted; with fewer, each event costs more calls."""
LEAST_SECONDS = 0.05
"""The same while a run has all that one read may have: 20,000 events a second are counted."""
SAMPLE_SECONDS = 60.0
"""Seconds between two looks at what a type has and wants, while something happens. With fewer, each
hour is known better and costs more."""


class Reporter:
    """Counts the events of one type in one process."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_

    async def run_once(self, known: TypeState | None = None) -> float | None:
        """Count events that were not counted yet, as many as one read has.

        Args:
            known: The type as the granter of this process knows it: then less is read.

        Returns:
            Seconds until there is something to do again; None: not before something happens.
        """
        head = await self._broker.report_state(self._type)
        if not head.newest:
            return None
        # 1. Read what happened since the last run, here or elsewhere.
        events = await self._new_events(head)
        age = head.now - head.state.sample.at / 1000 if head.state.sample else SAMPLE_SECONDS
        is_due = age >= SAMPLE_SECONDS and not events.has_more and _is_worth_a_look(head, events)
        is_news = events.last != head.state.cursor or head.is_damaged
        if not is_news and not is_due:
            return SAMPLE_SECONDS - age if head.state.is_stale else None
        # 2. Add it up, and look at what stands now, once a minute.
        tally = await _tally(head, events)
        sample = await self._sample(head, known) if is_due else None
        if sample and (last := head.state.sample) and last.is_busy:
            stood = min(age, SAMPLE_SECONDS) if head.state.is_stale or events.happenings else age
            tally.add_level(last, last.at / 1000 + stood)
        # 3. Write both together with how far it is counted.
        await self._broker.roll_up(self._type, head, _after(head, events, sample), tally)
        return _next_run(events)

    async def _new_events(self, head: ReportHead) -> NewEvents:
        if head.newest == head.state.cursor:
            return NewEvents((), head.newest, None, has_more=False)
        return await self._broker.report_events(self._type, head.state.cursor)

    async def _sample(self, head: ReportHead, known: TypeState | None) -> Sample:
        """Look at what the type has, and at what its line asks for."""
        state = await self._broker.type_state(self._type, known)
        line = await waiting_sums(self._broker, self._type, state.hosts)
        hosts = [host for host in state.hosts.values() if not host.dropped]
        return Sample(
            int(head.now * 1000),
            _sum(host.capacity for host in hosts),
            _sum(host.used for host in hosts),
            _sum(host.held for host in hosts),
            _sum([line.total.amounts]),
            line.total.jobs,
        )


def _next_run(events: NewEvents) -> float:
    """Return the seconds after which one read has all that will have happened; few reads do."""
    part = 1.0 if events.has_more else len(events.happenings) / BATCH
    return max(COUNT_SECONDS * (1 - part), LEAST_SECONDS)


def _is_worth_a_look(head: ReportHead, events: NewEvents) -> bool:
    """Return whether another look may show something: nothing of an idle type is written."""
    sample = head.state.sample
    has_news = bool(events.happenings) or head.state.is_stale
    return has_news or (sample is not None and sample.is_busy)


async def _tally(head: ReportHead, events: NewEvents) -> Tally:
    """Add up events, and what is known to be missing."""
    tally, state = Tally(), head.state
    async for some in in_slices(events.happenings):
        for event in some:
            tally.add(event)
    if events.gap_until is not None:
        tally.add_gap(state.until, events.gap_until)
    return tally


def _after(head: ReportHead, events: NewEvents, sample: Sample | None) -> ReportState:
    first = events.happenings[0].at if events.happenings else head.now
    return ReportState(
        cursor=events.last,
        since=head.state.since or first,
        until=head.now,
        sample=sample or head.state.sample,
        is_stale=sample is None and (head.state.is_stale or bool(events.happenings)),
    )


def _sum(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up amounts, of the first resources by name."""
    total = Counter[str]()
    for some in amounts:
        total.update(some)
    return {name: total[name] for name in sorted(total)[:MOST_RESOURCES]}
