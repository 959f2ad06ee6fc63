"""What is wrong with each type, read in rounds that cost Redis little with any number of types."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from rq_broker.admission.snapshot import REMEMBERED_TYPES, SnapshotReader
from rq_broker.api.host_totals import TotalsView, kept_of, total_of
from rq_broker.domain.capacity import Amounts, SourceState
from rq_broker.domain.figures import Figures
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.continuity import Loss
from rq_broker.store.type_clock import ClockSteps

BATCH = 50
"""Types read at the same time. With more, others' calls wait behind them; with fewer, a round over
10,000 types takes longer."""
WAIT_SECONDS = 1.0
"""Seconds that a reader waits for the round under way; then it gets what is known so far."""
MOST_TYPES = REMEMBERED_TYPES
"""Types, the first by name, of which metrics tell each by itself: bounds the rows of an answer, and
the memory of hosts, of which a round reads only those that changed."""
PAUSE_FACTOR = 4.0
"""After a round over more than BATCH types, this many times its duration passes before the next
one begins: probes take at most a fifth of what a process can ask Redis, however often they come."""


@dataclass(frozen=True, slots=True)
class TypeState:
    """One type as it was read last."""

    counts: Mapping[Status, int]
    has_destinations: bool
    outage: bool
    """Whether most of its destinations fail."""
    sources: list[SourceState]
    clock_steps: ClockSteps | None
    waits_in_vain: bool = False
    """Whether jobs wait in its line and it has no host at all, though its grants are not paused: as
    in a type whose name is misspelt."""
    losses: Sequence[Loss] = ()
    """Losses of its state in Redis that were noticed."""
    figures: Figures | None = None
    """What was counted; None until somebody asked for metrics."""
    paused: bool = False
    """Whether its grants are stopped; known together with the figures."""
    totals: TotalsView | None = None
    """The sums of its hosts, likewise; of the first MOST_TYPES types only."""
    kept: Amounts = field(default_factory=dict)
    """What of that is free and kept for jobs with a reservation, likewise."""


class Survey:
    """Reads every type for one process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.states: dict[str, TypeState] = {}
        """The types read so far, by name."""
        self.names: list[str] = []
        self.evicting = ""
        """That a server of Redis may evict keys, in a sentence; or ''."""
        self.unbounded = ""
        """That a server of Redis has no `maxmemory`, in a sentence; or ''."""
        self._round: asyncio.Task[None] | None = None
        self._next_round = 0.0
        self._with_figures = False
        self._snapshots = SnapshotReader(broker)
        self._totals: dict[str, tuple[str, TotalsView]] = {}
        """Type → the number of its hosts' last change, and their sums then."""

    async def refresh(self, *, with_figures: bool = False) -> None:
        """Start a round unless one is under way or has just ended, and wait for it a while.

        `with_figures`: this round and all later ones read what only metrics tell.

        Raises:
            Unavailable: Redis does not answer, or cannot serve now.
        """
        self._with_figures |= with_figures
        if self._round is None and time.monotonic() >= self._next_round:
            self._round = asyncio.create_task(self._read_all())
            self._round.add_done_callback(self._end_round)
        if self._round is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_SECONDS):
                    await asyncio.shield(self._round)

    def _end_round(self, task: asyncio.Task[None]) -> None:
        self._round = None
        if not task.cancelled():
            task.exception()  # those who waited have it

    async def _read_all(self) -> None:
        started = time.monotonic()
        self.evicting, self.unbounded = await self._broker.memory()
        self.names = await self._broker.names()
        self.states = {name: self.states[name] for name in self.names if name in self.states}
        for start in range(0, len(self.names), BATCH):
            batch = self.names[start : start + BATCH]
            self.states |= zip(batch, await asyncio.gather(*map(self._read, batch)), strict=True)
        if len(self.names) > BATCH:
            ended = time.monotonic()
            self._next_round = ended + PAUSE_FACTOR * (ended - started)

    async def _read(self, type_: str) -> TypeState:
        counts, has_hosts, destinations, sources, clock_steps, losses = await asyncio.gather(
            self._broker.counts(type_),
            self._broker.has_hosts(type_),
            self._broker.destinations(type_, 1),
            self._broker.sources(type_),
            self._broker.clock_steps(type_),
            self._broker.losses(type_),
        )
        outage, called = destinations
        is_hostless = bool(counts[Status.QUEUED]) and not has_hosts
        in_vain = is_hostless and not (await self._broker.policy(type_)).paused
        state = TypeState(counts, bool(called), outage, sources, clock_steps, in_vain, losses)
        if not self._with_figures:
            return state
        figures, policy = await asyncio.gather(
            self._broker.figures(type_), self._broker.policy(type_)
        )
        state = replace(state, figures=figures, paused=policy.paused)
        if type_ not in self.names[:MOST_TYPES]:
            return state
        totals, kept = await self._read_totals(type_)
        return replace(state, totals=totals, kept=kept)

    async def _read_totals(self, type_: str) -> tuple[TotalsView, Amounts]:
        """Add up the hosts of a type, unless none has changed since; and what is kept of them."""
        state = await self._snapshots.read_state(type_)
        number, known = f"{state.epoch} {state.number}", self._totals.get(type_)
        if known is None or known[0] != number:
            if len(self._totals) >= 2 * MOST_TYPES:
                self._totals.clear()
            known = self._totals[type_] = number, total_of(state.hosts.values())
        return known[1], kept_of(state.hosts, state.kept)


def callbacks_sentence(states: Mapping[str, TypeState]) -> str:
    """Say of which types most destinations fail; `ok` for none.

    Only where every type that is called is among them, and there are several, is the notifiers' own
    network the likely cause; with one type, its receivers are.
    """
    failing = [name for name, state in states.items() if state.outage]
    if not failing:
        return "ok"
    called = [name for name, state in states.items() if state.has_destinations]
    types = f"type {failing[0]}" if len(failing) == 1 else f"types {listed(failing)}"
    text = f"most destinations of {types} fail"
    if len(failing) > 1 and len(failing) == len(called):
        return f"{text}, and so do all types: check the outgoing network of the notifiers"
    return text


NAMED = 20
"""Types that a sentence names before it counts the others."""


def listed(names: list[str]) -> str:
    """Join names, the first few if there are many."""
    more = len(names) - NAMED
    return ", ".join([*names[:NAMED], *([f"{more} more"] if more > 0 else [])])
