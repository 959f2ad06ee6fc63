"""Reads the planner's snapshot of a type from Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from rq_broker.admission.held_capacity import Held, HeldCapacity
from rq_broker.admission.planning import Planning
from rq_broker.domain.capacity import Host
from rq_broker.domain.holding_times import HoldingTimes
from rq_broker.domain.planning import Promise, Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.planner import HostTables, tables_of
from rq_broker.store.broker import Broker, Heads, TypeState

FRONT_SHAPES = 200
"""Shapes at the front of the queue that every snapshot shows, so that order and patience hold among
them. The shapes of the first 200 jobs are always among them, even where more shapes than that have
equal priorities. With more, each pass takes longer; with fewer, order holds among fewer shapes."""
WINDOW_SHAPES = 800
"""Further shapes that a snapshot shows, so that a pass stays short with any number of shapes; the
next snapshot begins where this window ends."""
HEADS = 8
"""Jobs of each shape that a snapshot shows at first: most passes grant few. With more, each pass
reads more; with fewer, more passes end early."""
MAX_HEADS = 256
"""What that may grow to while passes grant all jobs shown: bounds the size of a snapshot."""
REMEMBERED_TYPES = 100
"""Types whose hosts one process remembers, so that only changes are read: bounds its memory. With
more types in use, hosts are read whole more often."""


PLANNING_SHARE = 0.5
"""Share of the time for which the thread of a process that answers clients plans, while something
waits for it. With more, other answers wait longer; with less, explanations and forecasts do."""
REMEMBERED_HELD = 20
"""Types whose running jobs, and tables of hosts, one process remembers: 5,000 jobs take some 10 MB.
With more types in use, running jobs are read whole more often, and tables are built more often."""


@dataclass(frozen=True, slots=True)
class WindowedSnapshot:
    """A snapshot of the front of the queue and one window of the rest."""

    snapshot: Snapshot
    state: TypeState
    """What it was built from; grants planned on the snapshot are committed against it."""
    next_window: int
    """Rank of the shape at which the next window begins."""
    held: Held | None = None
    """What jobs hold, where that was read: if asked for, or if a reservation may be due."""


class SnapshotReader:
    """Reads snapshots of any type for one process, and remembers hosts in between."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.planning = Planning(PLANNING_SHARE)
        """Computes on the snapshots."""
        self._states: dict[str, TypeState] = {}
        self._held: dict[str, HeldCapacity] = {}
        self._tables: dict[str, HostTables] = {}

    async def read(
        self,
        type_: str,
        *,
        heads: int,
        include: Collection[str] = (),
        with_held: bool = False,
    ) -> WindowedSnapshot:
        """Read a snapshot of the front of the queue; the arguments are those of `read_snapshot`."""
        window = await read_snapshot(
            self.broker,
            type_,
            self._states.get(type_),
            heads=heads,
            include=include,
            held=self._held_reader(type_),
            with_held=with_held,
        )
        self._remember(type_, window.state)
        return window

    async def read_capacity(self, type_: str) -> tuple[Snapshot, Held]:
        """Read a snapshot without waiting jobs: hosts, policy, what jobs hold and held."""
        known = self._states.get(type_)
        with_usage = known is None or _needs_usage(known)
        state, held, now = await asyncio.gather(
            self.broker.type_state(type_, known, usage=with_usage),
            self.held(type_),
            self.broker.now(type_),
        )
        if _needs_usage(state) and not with_usage:  # the policy has changed just now
            state = await self.broker.type_state(type_, usage=True)
        self._remember(type_, state)
        snapshot = _snapshot(state, Heads(0, (), {}), now)
        return replace(snapshot, holds=held.holds, history=held.history), held

    async def held(self, type_: str) -> Held:
        """Read what jobs of a type hold until when, and how long ended ones held."""
        return await self._held_reader(type_).read()

    def tables(self, type_: str, hosts: Mapping[str, Host]) -> HostTables:
        """Return the planner's tables of a snapshot's hosts: those kept if no host changed."""
        tables = self._tables[type_] = tables_of(hosts, self._tables.pop(type_, None))
        if len(self._tables) > REMEMBERED_HELD:
            del self._tables[next(iter(self._tables))]
        return tables

    def _held_reader(self, type_: str) -> HeldCapacity:
        reader = self._held.pop(type_, None) or HeldCapacity(self.broker, type_)
        self._held[type_] = reader  # the latest used is the last
        if len(self._held) > REMEMBERED_HELD:
            del self._held[next(iter(self._held))]
        return reader

    async def read_state(self, type_: str) -> TypeState:
        """Read the hosts and the policy of a type only."""
        state = await self.broker.type_state(type_, self._states.get(type_))
        self._remember(type_, state)
        return state

    def _remember(self, type_: str, state: TypeState) -> None:
        if type_ not in self._states and len(self._states) >= REMEMBERED_TYPES:
            self._states.clear()
        self._states[type_] = state


async def read_snapshot(
    broker: Broker,
    type_: str,
    known: TypeState | None = None,
    window: int = FRONT_SHAPES,
    *,
    heads: int = HEADS,
    include: Collection[str] = (),
    held: HeldCapacity | None = None,
    with_held: bool = False,
) -> WindowedSnapshot:
    """Read what a pass needs.

    Args:
        broker: the broker.
        type_: the type.
        known: an earlier state of the type: only hosts that changed since are read.
        window: rank of the shape at which the window behind the front begins.
        heads: how many jobs of each shape to show.
        include: digests of shapes to show in any case.
        held: what is known of what jobs hold and held: only what is new is read.
        with_held: whether to read what jobs hold in any case.
    """
    held = held or HeldCapacity(broker, type_)
    # 1. Read hosts, policy and the front of the queue, and how long jobs held.
    state, front, now, history = await _read_front(broker, type_, known, heads, held)
    own = _shares(state)
    # 2. If more shapes wait than fit, put the wanted window behind the front.
    shown, next_window = await _with_window(broker, type_, front, window, heads, own=own)
    # 3. Include the shapes that must be shown; the reservations bind every window.
    digests = {*include, *await _promised_shapes(broker, type_, state.promises)}
    for digest in digests:
        shown = await _with_shape(broker, type_, shown, digest, heads, own=own)
    # 4. Read what jobs hold until when, if a reservation may be due; and which jobs they are, if
    #    hosts have devices: then jobs to come are taken to be like them.
    is_due = _is_reservation_due(state.policy, shown, now)
    has_devices = any(host.devices for host in state.hosts.values())
    current = await held.read() if is_due or with_held or has_devices else None
    holds = current.holds if current and is_due else ()
    running = current.running if current and has_devices else {}
    # 5. Count what holds of the arrays that limit that.
    at_once = (waiting.shape.at_once for waiting in shown.waiting)
    holding = await broker.holding(type_, {limit.array for limit in at_once if limit})
    snapshot = _snapshot(state, shown, now)
    snapshot = replace(snapshot, history=history, holds=holds, holding=holding, running=running)
    return WindowedSnapshot(snapshot, state, next_window, current)


async def _read_front(
    broker: Broker, type_: str, known: TypeState | None, heads: int, held: HeldCapacity
) -> tuple[TypeState, Heads, float, HoldingTimes]:
    """Read the type, its first shapes, the time, and how long jobs held; all at once."""
    with_usage, own = known is None or _needs_usage(known), known is None or _shares(known)
    state, front, now, history = await asyncio.gather(
        broker.type_state(type_, known, usage=with_usage),
        broker.heads(type_, 0, FRONT_SHAPES + WINDOW_SHAPES, heads, FRONT_SHAPES, own=own),
        broker.now(type_),
        held.read_history(),
    )
    if (_needs_usage(state) and not with_usage) or (_shares(state) and not own):
        return await _read_front(broker, type_, None, heads, held)  # the policy has just changed
    return state, front, now, history


def _is_reservation_due(policy: Policy, shown: Heads, now: float) -> bool:
    """Return whether some job may have been passed for as long as patience allows."""
    patience = policy.patience
    if patience is None or policy.strict_order or policy.paused:
        return False
    return patience <= 0 or any(now - since >= patience for since in shown.passed.values())


def _snapshot(state: TypeState, shown: Heads, now: float) -> Snapshot:
    return Snapshot(
        hosts=state.hosts,
        waiting=shown.waiting,
        policy=state.policy,
        now=now,
        usage=state.usage,
        past_usage=_past_usage(state, now),
        passed=shown.passed,
        promises=state.promises,
        closed=state.closed,
        asked=state.asked,
        tried=state.tried,
        failing=state.failing,
        behind=state.behind,
        judged=state.judged,
        judged_p50=state.judged_p50,
    )


def _past_usage(state: TypeState, now: float) -> dict[str, dict[str, float]]:
    """Return what each owner held on average until now; without an entry, what it holds now."""
    sharing = state.policy.sharing
    if sharing is None:
        return {}
    averages = {owner: dict[str, float](amounts) for owner, amounts in state.usage.items()}
    for owner, by_resource in state.past_usage.items():
        held = state.usage.get(owner, {})
        averages.setdefault(owner, {}).update(
            (resource, average.at(now, held.get(resource, 0), sharing.half_life))
            for resource, average in by_resource.items()
        )
    return averages


def _shares(state: TypeState) -> bool:
    """Return whether the policy needs to know which jobs have a priority of their own."""
    return state.policy.share is not None


def _needs_usage(state: TypeState) -> bool:
    """Return whether the policy needs to know what owners hold, which costs extra to read."""
    return bool(state.policy.limits or state.policy.share)


async def _with_window(
    broker: Broker, type_: str, front: Heads, window: int, heads: int, *, own: bool
) -> tuple[Heads, int]:
    """Return the front with the window that begins at a rank, and where the next one begins.

    `front` reaches to the end of the first window, so only later windows are read.
    """
    if front.total <= FRONT_SHAPES + WINDOW_SHAPES:
        return front, FRONT_SHAPES
    if window <= FRONT_SHAPES:
        return front, FRONT_SHAPES + WINDOW_SHAPES
    behind = await broker.heads(type_, window, WINDOW_SHAPES, heads, own=own)
    end = window + WINDOW_SHAPES
    return _joined(front, behind), end if end < front.total else FRONT_SHAPES


def _joined(front: Heads, behind: Heads) -> Heads:
    """Put a later window behind the front shapes, each shape once."""
    first = front.waiting[:FRONT_SHAPES]
    digests = {shape.digest for shape in first}
    further = tuple(shape for shape in behind.waiting if shape.digest not in digests)
    return Heads(front.total, first + further, {**behind.passed, **front.passed})


async def _promised_shapes(
    broker: Broker, type_: str, promises: Collection[Promise]
) -> Collection[str]:
    """Return the digests of the shapes of jobs that have a reservation."""
    names = [promise.request_id for promise in promises]
    digests = await asyncio.gather(*(broker.shape_of(type_, name) for name in names))
    return [digest for digest in digests if digest is not None]


async def _with_shape(
    broker: Broker, type_: str, shown: Heads, digest: str, heads: int, *, own: bool
) -> Heads:
    """Return `shown` with `heads` jobs of one shape, or all it has; reads the missing ones."""
    present = next((shape for shape in shown.waiting if shape.digest == digest), None)
    if present is not None and len(present.heads) >= min(heads, present.count):
        return shown
    rank = await broker.shape_rank(type_, digest)
    if rank is None:
        return shown
    read = await broker.heads(type_, rank, 1, heads, own=own)
    by_digest = {shape.digest: shape for shape in (*shown.waiting, *read.waiting)}
    return Heads(shown.total, tuple(by_digest.values()), {**read.passed, **shown.passed})
