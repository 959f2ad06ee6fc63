"""One admission pass: which waiting jobs are granted capacity, and which wait.

The rules and their order are in the package's docstring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Head, Protection, Snapshot, WaitingShape
from rq_broker.planner import reasons
from rq_broker.planner.capacity_reasons import impossible
from rq_broker.planner.owner_usage import ExceededLimit, OwnerUsage, add_amounts
from rq_broker.planner.packing.best_fit import SEARCH_STEPS
from rq_broker.planner.packing.host_table import HostTable, free_when_empty, free_without_holds
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from rq_broker.planner.passed_jobs import PassedJobs
from rq_broker.planner.protection import Needs, choose_hosts
from rq_broker.planner.reasons import Reason
from rq_broker.planner.share_order import ShareOrder
from rq_broker.planner.turns import TurnQueue


@dataclass(frozen=True, slots=True)
class BlockedShape:
    """A shape that waits after this pass, and its first job that was not granted."""

    waiting: WaitingShape
    placer: Placer
    head: Head
    reason: Reason | None = None
    """Why it waits, where that is known without a search."""
    closed_hosts: int = 0
    """Mask of the hosts that strict order had closed before its turn."""


class AdmissionPass:
    """The state of one admission pass."""

    def __init__(self, snapshot: Snapshot, empty_hosts: HostTable | None = None) -> None:
        """Begin a pass; `empty_hosts` passes in that table if already built, see the property."""
        hosts = snapshot.hosts.values()
        self.snapshot = snapshot
        self.table = HostTable(hosts)
        self.usage = OwnerUsage(snapshot)
        self.passed_jobs = PassedJobs(snapshot.passed, self._is_possible)
        self.grants: list[Grant] = []
        self.blocked: dict[str, BlockedShape] = {}
        """Digest → shape that waits."""
        self.exhausted: set[str] = set()
        """Digests of the shapes whose shown jobs were all granted."""
        self.ended_early = False
        """True if a shape in `exhausted` has more jobs than the snapshot shows."""
        self.protection: Protection | None = None
        self.protected_needs: Needs = {}
        """What the protected job needs of each kept host."""
        self.blockers: list[BlockedShape] = []
        """Shapes that keep hosts from later jobs: the protected one, or all that closed hosts."""
        self._closed_hosts = 0
        """Mask of the hosts that strict order closed to later jobs."""
        self._search_budget = StepBudget(SEARCH_STEPS)
        self._placers = self._placers_by_shape()
        self._empty_hosts = empty_hosts

    def _placers_by_shape(self) -> list[Placer]:
        """Return the placer of each shape of the snapshot; shapes of equal demand share one."""
        by_demand: dict[Demand, Placer] = {}
        placers = []
        for waiting in self.snapshot.waiting:
            demand = waiting.shape.demand
            placer = by_demand.get(demand)
            if placer is None:
                placer = by_demand[demand] = Placer(self.table, demand)
            placers.append(placer)
        return placers

    def run(self, stop_at: str | None = None) -> None:
        """Consider the waiting jobs in order, until none is left or a shape has only hidden ones.

        With `stop_at`, a digest, stop as soon as that shape is blocked.
        """
        shapes, placers, closed = self.snapshot.waiting, self._placers, self.snapshot.closed
        turns = ShareOrder(shapes, self.usage) if self.usage.shares else TurnQueue(shapes)
        while not self.ended_early and stop_at not in self.blocked:
            # 1. Take the job that comes first by priority and ID, or by shares.
            turn = turns.first()
            if turn is None:
                return
            waiting, placer = shapes[turn.shape_number], placers[turn.shape_number]
            head, owner = waiting.heads[turn.head_number], waiting.shape.owner
            # 2. Its callback could not be delivered: its shape waits for the rest of the pass.
            if waiting.shape.destination in closed:
                self._block_for_destination(waiting, placer, head)
                turns.drop_shape()
            # 3. Its owner would exceed a limit: its shape waits.
            elif (exceeded := self.usage.exceeded_limit(owner, placer.total)) is not None:
                self._block_for_owner(waiting, placer, head, exceeded)
                turns.drop_shape()
            # 4. No hosts have room for the whole job: its shape waits.
            elif (hosts := placer.place(self._closed_hosts, self._search_budget)) is None:
                self._block_for_room(waiting, placer, head)
                turns.drop_shape()
            # 5. Otherwise grant it, note which waiting jobs it passes, queue the shape's next job.
            else:
                self._grant(waiting, placer, head, hosts)
                self.passed_jobs.note_grant(owner, hosts)
                if not turns.queue_next_of_shape(turn):
                    self._exhaust(waiting)

    def _block_for_destination(self, waiting: WaitingShape, placer: Placer, head: Head) -> None:
        """Block the shape until its callbacks can be delivered."""
        reason = reasons.destination_closed(waiting.shape.destination)
        self.blocked[waiting.digest] = BlockedShape(waiting, placer, head, reason)

    def _block_for_owner(
        self, waiting: WaitingShape, placer: Placer, head: Head, exceeded: ExceededLimit
    ) -> None:
        """Block the shape; for a job passed too long, keep room below its owner's limit."""
        owner = waiting.shape.owner
        reason = reasons.over_limit(owner, exceeded)
        self.blocked[waiting.digest] = BlockedShape(waiting, placer, head, reason)
        if exceeded.needs <= exceeded.limit:  # otherwise it can never be granted
            if self._is_overdue(head):
                self.usage.keep_room(owner, placer.total)
            self.passed_jobs.add_waiting_for_owner(head, owner)

    def _block_for_room(self, waiting: WaitingShape, placer: Placer, head: Head) -> None:
        """Block the shape; for a job passed too long, keep from later jobs what it waits for."""
        blocked = BlockedShape(waiting, placer, head, closed_hosts=self._closed_hosts)
        self.blocked[waiting.digest] = blocked
        if self._is_overdue(head) and self._is_possible(placer.demand):
            if not self.snapshot.policy.patience:
                self._closed_hosts |= placer.usable_hosts
                self.blockers.append(blocked)
            elif self.protection is None:
                self._protect(blocked)
        self.passed_jobs.add_waiting_for_hosts(head, placer.demand, placer.usable_hosts)

    def _is_overdue(self, head: Head) -> bool:
        """Return whether the job was passed for as long as patience allows; always for 0."""
        patience = self.snapshot.policy.patience
        if patience is None:
            return False
        since = self.snapshot.passed.get(head.request_id)
        return patience <= 0 or (since is not None and self.snapshot.now - since >= patience)

    def _is_possible(self, demand: Demand) -> bool:
        """Return whether the hosts might hold the demand if nobody used them."""
        return impossible(self.empty_hosts, demand) is None

    def _protect(self, blocked: BlockedShape) -> None:
        """Keep hosts for the job: those the last pass kept for it, as long as they can serve."""
        last, head = self.snapshot.protection, blocked.head
        kept = last.hosts if last is not None and last.is_for(head) else frozenset()
        needs = choose_hosts(blocked.placer, self.without_holds(self.table), kept)
        if needs is None:
            return
        names = frozenset(self.table.names[index] for index in needs)
        self.protection = Protection(head.id, head.request_id, names)
        self.protected_needs, self.blockers = needs, [blocked]
        for index, amounts in needs.items():
            self.table.take(index, amounts.items())

    def _grant(self, waiting: WaitingShape, placer: Placer, head: Head, hosts: list[int]) -> None:
        """Propose the grant, and count it for its owner."""
        names = self.table.names
        grant = Grant(head, waiting.shape, tuple([names[index] for index in hosts]))
        self.grants.append(grant)
        self.usage.add_grant(waiting.shape.owner, placer.total)

    def _exhaust(self, waiting: WaitingShape) -> None:
        """Note that all shown jobs of a shape are granted.

        If it has hidden ones the pass ends: one of them may come before whatever is next.
        """
        self.exhausted.add(waiting.digest)
        self.ended_early = waiting.count > len(waiting.heads)

    @property
    def empty_hosts(self) -> HostTable:
        """The hosts as if nobody used them."""
        if self._empty_hosts is None:
            self._empty_hosts = HostTable(self.snapshot.hosts.values(), free_when_empty)
        return self._empty_hosts

    @cached_property
    def without_protection(self) -> HostTable:
        """The hosts as the pass left them, with what is kept for the protected job free again."""
        rows = list(self.table.rows)
        for index, amounts in self.protected_needs.items():
            rows[index] = dict(rows[index])
            add_amounts(rows[index], amounts)
        return self.table.with_rows(rows)

    def without_holds(self, table: HostTable) -> HostTable:
        """Return the hosts of a table with what each would have left if every grant ended."""
        hosts = self.snapshot.hosts
        return table.with_rows([free_without_holds(hosts[name]) for name in table.names])
