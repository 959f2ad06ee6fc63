"""Grants capacity to the jobs of one type: snapshot, plan, commit, until nothing more fits."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from rq_broker.admission.held_capacity import HeldCapacity
from rq_broker.admission.planning import Planning
from rq_broker.admission.snapshot import (
    FRONT_SHAPES,
    HEADS,
    MAX_HEADS,
    WINDOW_SHAPES,
    WindowedSnapshot,
    read_snapshot,
)
from rq_broker.delivery.courier import Courier
from rq_broker.delivery.message import id_of_grant
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.job_log import log_job, logs_jobs
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Grant
from rq_broker.measures import PASS_SECONDS
from rq_broker.planner import HostTables, Plan, plan_steps, tables_of
from rq_broker.store.broker import Broker, TypeState

CHUNK = 64
"""Grants that one script commits, and two chunks are under way. With more, Redis serves nobody else
for longer than some 3 ms, and couriers' claims queue behind them; with fewer, each costs more."""
CHUNK_INSTANCES = 512
"""Instances of all grants of a chunk together, for the same reason; a job with more goes alone."""
MOST_HOSTS = 16
"""Hosts that the line of a grant names: bounds its length."""
LOCK_SECONDS = 2.0
"""Seconds after which others may plan if the granter that holds the lock died; it keeps the lock
twice in that time. Two granters at once waste time, though each commit still keeps capacity from
being granted twice."""
PLANNING = Planning()
"""What the granters of a process plan with, unless they are given another."""


class _Chunk(NamedTuple):
    """Grants on their way to Redis together."""

    grants: Sequence[Grant]
    fences: asyncio.Task[Sequence[int | None]]
    incarnation: str


class _Pass(NamedTuple):
    """What one admission pass did."""

    committed: int
    """How many grants."""
    next_window: int
    nothing_waits: bool
    """Whether no job waits behind it, so that another pass would grant nothing."""


def chunks_of(grants: Iterable[Grant]) -> Iterator[list[Grant]]:
    """Part grants, in order, into what is sent to Redis together."""
    chunk, instances = list[Grant](), 0
    for grant in grants:
        size = len(grant.hosts)
        if chunk and (len(chunk) == CHUNK or instances + size > CHUNK_INSTANCES):
            yield chunk
            chunk, instances = [], 0
        chunk.append(grant)
        instances += size
    if chunk:
        yield chunk


def next_heads(heads: int, planned: Plan, shapes: int) -> int:
    """Return how many jobs of each shape the next pass shows.

    Where one pass grants many jobs of a shape, so does the next: it shows twice as many, as far as
    that reads no more than HEADS of as many shapes as a pass may see.

    Args:
        heads: How many this pass showed.
        planned: Its plan.
        shapes: How many shapes it saw.
    """
    if planned.ended_early:
        return min(heads * 4, MAX_HEADS)
    of_one_shape = Counter(id(grant.shape) for grant in planned.grants)
    wanted = 2 * max(of_one_shape.values(), default=0)
    affordable = HEADS * (FRONT_SHAPES + WINDOW_SHAPES) // max(shapes, 1)
    return max(HEADS, min(wanted, affordable, MAX_HEADS))


class Granter:
    """The granter of one type in one process. One process at a time plans a type."""

    def __init__(
        self,
        broker: Broker,
        type_: str,
        planning: Planning | None = None,
        *,
        courier: Callable[[], Courier] | None = None,
        on_granted: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Take what it works on.

        Args:
            broker: The store.
            type_: The type.
            planning: What to plan with; None: what all granters of the process plan with.
            courier: Returns the courier of the type, which sends the callbacks that it has slots
                for as soon as they are granted; None: all of them fall due for any courier.
            on_granted: Called after each pass that granted, with how many.
        """
        self._broker = broker
        self._type = type_
        self._planning = planning or PLANNING
        self._courier = courier
        self._on_granted = on_granted
        self._name = uuid.uuid4().hex
        self.state: TypeState | None = None
        """Hosts and policy as the last pass read them."""
        self._tables: HostTables | None = None
        """Of the hosts of `state`."""
        self._held = HeldCapacity(broker, type_)
        self._callbacks_are_late = False
        """Whether the last pass ended because callbacks lag behind grants."""
        self._heads = HEADS
        self._window = FRONT_SHAPES
        """Rank of the shape at which the window of the next pass begins."""
        self._resume_at = FRONT_SHAPES
        """Where to go on after a pass that returned to the front."""
        self.refused = False
        """Whether another process held the lock when this one last asked for it."""
        self._begin_at = FRONT_SHAPES
        """Where the next round begins. While the policy shares, each begins one window further: so
        an owner far behind is, in its turn, the first to see what came free."""

    async def run_once(self) -> int:
        """Run passes until a whole round over the queue grants nothing, or nothing waits.

        It stops before that while callbacks lag behind grants: what is granted first is called
        first. The claim that catches up wakes the granter.

        Returns: how many grants were committed; 0 at once if another process plans the type. That
        process then runs another round, so that no change made meanwhile is missed.
        """
        self._window = self._resume_at = self._begin_at
        granted, begins = 0, True
        nothing_fits = self._begin_at == FRONT_SHAPES  # otherwise the first round is not whole
        # 1. Take the lock on planning this type, or keep it.
        while await self._lock("take"):
            # 2. Run one pass over the front of the queue and one window.
            async with self._kept_lock():
                done = await self._run_pass()
            if begins and self.state:
                self._begin_at = done.next_window if self.state.policy.share else FRONT_SHAPES
                begins = False
            granted += done.committed
            if self._callbacks_are_late:
                await self._give_up_turn()
                break
            nothing_fits = done.nothing_waits or (nothing_fits and not done.committed)
            # 3. When a whole round granted nothing, or nothing waits, give the lock back. Redis
            #    refuses that if another process has asked for the lock since; then run one more
            #    round.
            if self._window == self._resume_at == FRONT_SHAPES:
                if nothing_fits and not await self._lock("give"):
                    break
                nothing_fits = True
        return granted

    @asynccontextmanager
    async def _kept_lock(self) -> AsyncIterator[None]:
        """Keep the lock during the block, however long that takes."""
        loop = asyncio.get_running_loop()
        keeping = set[asyncio.Task[bool]]()
        timer: asyncio.TimerHandle

        def keep() -> None:
            nonlocal timer
            keeping.add(loop.create_task(self._lock("keep")))
            timer = loop.call_later(LOCK_SECONDS / 2, keep)

        timer = loop.call_later(LOCK_SECONDS / 2, keep)
        try:
            yield
        finally:
            timer.cancel()
            if keeping:  # the next call to Redis meets what these may have met
                await asyncio.gather(*keeping, return_exceptions=True)

    async def _give_up_turn(self) -> None:
        """Give the lock back; another process that asked for it meanwhile is woken as this one."""
        if await self._lock("give"):
            await self._lock("give")

    async def _lock(self, action: str) -> bool:
        term = await self._broker.turn(self._type, self._name, action, LOCK_SECONDS)
        self.refused = action == "take" and not term
        return bool(term)

    async def _run_pass(self) -> _Pass:
        """Run one admission pass."""
        # 1. Read a snapshot; of the hosts, only those that changed.
        window = await read_snapshot(
            self._broker,
            self._type,
            self.state,
            self._window,
            heads=self._heads,
            held=self._held,
        )
        self.state = window.state
        self._tables = tables_of(window.state.hosts, self._tables)
        # 2. Plan on it.
        with PASS_SECONDS.time():
            planned = await self._planning.run(
                self._type, plan_steps(window.snapshot, self._tables)
            )
        # 3. Commit the grants, each decided on alone. Redis refuses those that are no longer true.
        committed = await self._commit(planned.grants, window.state)
        if committed:
            self._on_granted(committed)
        # 4. Note which jobs were passed, and what was promised.
        await self._note(window, planned)
        # 5. Choose how many jobs and which shapes the next pass sees.
        self._heads = next_heads(self._heads, planned, len(window.snapshot.waiting))
        self._choose_window(window.next_window, committed, planned.ended_early)
        return _Pass(committed, window.next_window, await self._nothing_waits(window, committed))

    async def _nothing_waits(self, window: WindowedSnapshot, committed: int) -> bool:
        """Return whether a pass emptied the queue; Redis is asked only where that may be.

        Then no other pass need look for what joined meanwhile: it would be waiting now. What joins
        an empty queue wakes the granter, as it is the first job of its shape.
        """
        if not committed or committed < sum(shape.count for shape in window.snapshot.waiting):
            return False
        return not await self._broker.has_waiting(self._type)

    async def _commit(self, grants: Sequence[Grant], state: TypeState) -> int:
        """Commit grants in order; returns how many.

        Once Redis says that callbacks are late, only those of jobs without callback are left.
        """
        committed, self._callbacks_are_late = 0, False
        under_way, loop = deque[_Chunk](), asyncio.get_running_loop()
        try:
            for planned in chunks_of(grants):
                chunk = planned
                if self._callbacks_are_late:
                    chunk = [grant for grant in planned if grant.shape.destination == OFFER]
                if not chunk:
                    continue
                fences = loop.create_task(self._send(chunk, state))
                under_way.append(_Chunk(chunk, fences, state.incarnation))
                if len(under_way) == 2:
                    committed += await self._committed(under_way)
        finally:
            while under_way:
                committed += await self._committed(under_way)
        return committed

    async def _send(self, chunk: Sequence[Grant], state: TypeState) -> Sequence[int | None]:
        """Send a chunk to Redis, and the callbacks for which the courier has free slots."""
        if self._courier is None:
            return (await self._broker.grant_many(self._type, chunk, state)).fences
        courier = self._courier()
        claimed: Sequence[Delivery] = ()
        slots = await courier.take_free_slots(len(chunk))
        try:
            fences, claimed = await self._broker.grant_many(self._type, chunk, state, slots)
        finally:
            courier.send(slots, claimed)
        return fences

    async def _committed(self, under_way: deque[_Chunk]) -> int:
        """Wait for the chunk that is longest under way; returns how many of it were committed.

        A pass that is cancelled waits for all chunks: the courier learns what it is to send.
        """
        chunk = under_way.popleft()
        try:
            known = await asyncio.shield(chunk.fences)
        except asyncio.CancelledError:
            await asyncio.wait([chunk.fences, *(rest.fences for rest in under_way)])
            raise
        if logs_jobs():
            self._log_grants(chunk, known)
        if None in known and not self._callbacks_are_late:
            self._callbacks_are_late = await self._broker.callbacks_are_late(self._type)
        return sum(fence is not None for fence in known)

    def _log_grants(self, chunk: _Chunk, fences: Sequence[int | None]) -> None:
        for grant, fence in zip(chunk.grants, fences, strict=True):
            if fence is None:
                continue
            id_ = grant.head.id
            is_called = grant.shape.destination != OFFER
            log_job(
                "job.granted",
                self._type,
                grant.head.request_id,
                id=id_,
                fence=fence,
                webhook_id=id_of_grant(self._type, chunk.incarnation, id_, fence)
                if is_called
                else None,
                hosts=" ".join(grant.hosts[:MOST_HOSTS]),
            )

    async def _note(self, window: WindowedSnapshot, planned: Plan) -> None:
        noted = window.state.promises, window.state.kept
        if planned.passed or (planned.promises, planned.kept) != noted:
            await self._broker.note(self._type, planned.promises, planned.passed, planned.kept)

    def _choose_window(self, next_window: int, committed: int, ended_early: bool) -> None:
        """After a grant return to the front of the queue for one pass, then go on.

        The return keeps the order as strict as windows allow. Going on after one pass makes sure
        that grants at the front do not keep later windows from being planned.
        """
        returned_to_front = self._window != self._resume_at
        if not returned_to_front and not (committed and ended_early):
            self._resume_at = next_window
        go_to_front = committed and not returned_to_front
        self._window = FRONT_SHAPES if go_to_front else self._resume_at
