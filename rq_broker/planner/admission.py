"""One pass over the waiting shapes: who is granted what, in which order, who was passed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heapreplace

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Head, Protection, Snapshot, Waiting
from rq_broker.planner import reasons
from rq_broker.planner.board import Board, empty, unheld
from rq_broker.planner.ledger import Cap, Ledger, add
from rq_broker.planner.packing import SEARCH_STEPS, Want
from rq_broker.planner.protection import Needs, choose
from rq_broker.planner.reasons import Reason


@dataclass(frozen=True, slots=True)
class Stuck:
    """The first job of a shape that was not granted."""

    entry: Waiting
    want: Want
    head: Head
    known: Reason | None = None
    """The reason, where it is known at once."""
    shut: int = 0
    """The hosts strict order had shut before its turn."""


class Pass:
    """The state of one pass; see the package's docstring for the rules."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.board = Board(snapshot.hosts.values())
        self.ledger = Ledger(snapshot.hosts.values(), snapshot.policy, snapshot.usage)
        self.wants: dict[Demand, Want] = {}
        self.shapes = [(entry, self._want(entry.shape.demand)) for entry in snapshot.waiting]
        self.budget = [SEARCH_STEPS]
        self.grants: list[Grant] = []
        self.stuck: dict[str, Stuck] = {}
        self.emptied: set[str] = set()
        self.passable: dict[int, list[Stuck]] = {}
        self.capped: dict[str, list[Head]] = {}
        """Owner → its jobs at its limit that were never passed."""
        self.passed: dict[str, Head] = {}
        """request_id → job passed in this pass for the first time."""
        self.protection: Protection | None = None
        self.kept: Needs = {}
        self.first: list[Stuck] = []
        """Jobs that keep later ones from hosts: the protected one, or each one strict order met."""
        self.shut = 0
        self.more = False

    def _want(self, demand: Demand) -> Want:
        want = self.wants.get(demand)
        if want is None:
            want = self.wants[demand] = Want(self.board, demand)
        return want

    def run(self, until: str | None = None) -> None:
        """Merge the shapes by priority, then share, then ID; a share only grows during a pass.

        With `until`, a digest, stop as soon as that shape is stuck.
        """
        shapes, ledger = self.shapes, self.ledger
        line = [
            (entry.heads[0].priority, ledger.share(entry.shape.owner), entry.heads[0].id, number, 0)
            for number, (entry, _) in enumerate(shapes)
            if entry.heads
        ]
        heapify(line)
        while line and not self.more and until not in self.stuck:
            priority, share, id_, number, at = line[0]
            entry, want = shapes[number]
            if ledger.fair and (now := ledger.share(entry.shape.owner)) > share:
                heapreplace(line, (priority, now, id_, number, at))
            elif not self._grant(entry, want, entry.heads[at]):
                heappop(line)
            elif at + 1 < len(entry.heads):
                head = entry.heads[at + 1]
                heapreplace(line, (head.priority, share, head.id, number, at + 1))
            else:
                heappop(line)
                self.more = entry.count > len(entry.heads)
                self.emptied.add(entry.digest)

    def _grant(self, entry: Waiting, want: Want, head: Head) -> bool:
        shape = entry.shape
        if shape.destination in self.snapshot.closed:
            known = reasons.closed(shape.destination)
            self.stuck[entry.digest] = Stuck(entry, want, head, known)
            return False
        cap = self.ledger.cap(shape.owner, want.total)
        if cap is not None:
            self._over_limit(entry, want, head, cap)
            return False
        bits = want.place(self.shut, self.budget)
        if bits is None:
            self._no_fit(Stuck(entry, want, head, shut=self.shut))
            return False
        names = self.board.names
        self.grants.append(Grant(head, shape, tuple([names[bit] for bit in bits])))
        self.ledger.add(shape.owner, want.total)
        self._mark_passed(shape.owner, bits)
        return True

    def _over_limit(self, entry: Waiting, want: Want, head: Head, cap: Cap) -> None:
        """Let the job wait for its owner; passed too long, keep room for it below the cap."""
        owner = entry.shape.owner
        self.stuck[entry.digest] = Stuck(entry, want, head, reasons.over_limit(owner, cap))
        if cap.needs > cap.limit:
            return
        if self._overdue(head):
            self.ledger.keep(owner, want.total)
        if head.request_id not in self.snapshot.passed:
            self.capped.setdefault(owner, []).append(head)

    def _no_fit(self, stuck: Stuck) -> None:
        """Let the job be passed; or, passed too long, keep from later ones what it waits for."""
        want, head = stuck.want, stuck.head
        self.stuck[stuck.entry.digest] = stuck
        if self._overdue(head) and self._possible(want):
            if not self.snapshot.policy.patience:
                self.shut |= want.pool
                self.first.append(stuck)
            elif self.protection is None:
                self._protect(stuck)
        if head.request_id not in self.snapshot.passed:
            self.passable.setdefault(want.pool, []).append(stuck)

    def _overdue(self, head: Head) -> bool:
        patience = self.snapshot.policy.patience
        if patience is None:
            return False
        since = self.snapshot.passed.get(head.request_id)
        return patience <= 0 or (since is not None and self.snapshot.now - since >= patience)

    def _possible(self, want: Want) -> bool:
        return reasons.impossible(self.empty, want.demand) is None

    @cached_property
    def empty(self) -> Board:
        """The hosts as if nobody used them."""
        return Board(self.snapshot.hosts.values(), empty)

    @cached_property
    def unkept(self) -> Board:
        """The hosts as the pass left them, without what is kept for the protected job."""
        rows = list(self.board.rows)
        for bit, kept in self.kept.items():
            rows[bit] = dict(rows[bit])
            add(rows[bit], kept)
        return self.board.twin(rows)

    def _protect(self, stuck: Stuck) -> None:
        before, hosts, head = self.snapshot.protection, self.snapshot.hosts, stuck.head
        kept = before.hosts if before is not None and before.is_for(head) else frozenset()
        potential = self.board.twin([unheld(hosts[host]) for host in self.board.names])
        needs = choose(stuck.want, potential, kept)
        if needs is None:
            return
        self.kept, self.first = needs, [stuck]
        names = frozenset(self.board.names[bit] for bit in needs)
        self.protection = Protection(head.id, head.request_id, names)
        for bit, row in needs.items():
            self.board.take(bit, row.items())

    def _mark_passed(self, owner: str, bits: list[int]) -> None:
        """Note whom this grant passed: those that wait for hosts of its pool, or for its owner."""
        if self.capped:
            for head in self.capped.pop(owner, ()):
                self.passed[head.request_id] = head
        for pool in list(self.passable):
            if any(pool >> bit & 1 for bit in bits):
                for stuck in self.passable.pop(pool):
                    if self._possible(stuck.want):
                        self.passed[stuck.head.request_id] = stuck.head
