"""The planner's answer: grants, what the next pass must be told, and reasons found when asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Head, Protection, Snapshot
from rq_broker.planner import reasons
from rq_broker.planner.admission import Pass, Stuck
from rq_broker.planner.board import Board
from rq_broker.planner.packing import kinds_of, pack
from rq_broker.planner.reasons import Code, Reason

REASON_STEPS = 200
"""Search steps for one "would it fit": a reason may be less exact than a grant."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass proposes, and what the next one must be told."""

    grants: tuple[Grant, ...]
    """In the order they should be committed."""
    reasons: Mapping[str, Reason]
    """Digest → why the shape's first job not granted waits. Found when read, then kept."""
    passed: tuple[Head, ...]
    """Jobs that a later job passed in this pass for the first time."""
    protection: Protection | None
    """Hosts kept for the earliest job passed too long: the next snapshot's `protection`."""
    more: bool
    """True: a shape ran out of the heads shown, so the pass ended early; plan again."""


def plan(snapshot: Snapshot) -> Plan:
    """Decide the grants of one pass. Pure: the same snapshot gives the same plan."""
    done = Pass(snapshot)
    if not snapshot.policy.paused:
        done.run()
    passed = tuple(done.passed.values())
    return Plan(tuple(done.grants), Reasons(done), passed, done.protection, done.more)


class Reasons(Mapping[str, Reason]):
    """Why each shape waits after a pass. Lazy: a pass whose reasons nobody reads stays short."""

    def __init__(self, done: Pass) -> None:
        self._pass = done
        self._waiting = {
            entry.digest: entry
            for entry, _ in done.shapes
            if entry.count and (entry.count > len(entry.heads) or entry.digest not in done.emptied)
        }
        self._found: dict[Demand, Reason] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def __getitem__(self, digest: str) -> Reason:
        self._waiting[digest]
        if self._pass.snapshot.policy.paused:
            return reasons.PAUSED
        stuck = self._pass.stuck.get(digest)
        if stuck is None:
            return reasons.NEXT_PASS
        if stuck.known is not None:
            return stuck.known
        demand = stuck.want.demand
        if demand not in self._found:
            self._found[demand] = self._find(stuck)
        return self._found[demand]

    def _find(self, stuck: Stuck) -> Reason:
        """Blame an earlier job only if the demand would fit without it."""
        demand, blocker = stuck.want.demand, self._blocker(stuck)
        if blocker is not None and fits(self._pass.unkept, demand):
            strict = not self._pass.protection
            code = Code.STRICT_ORDER if strict else Code.PROTECTED_OTHER
            return reasons.behind(code, blocker.head.request_id)
        return self._missing(demand)

    def _blocker(self, stuck: Stuck) -> Stuck | None:
        """Find who was first to keep hosts this job could use from later ones, perhaps itself."""
        return next((f for f in self._pass.first if f.want.pool & stuck.want.pool), None)

    def _missing(self, demand: Demand) -> Reason:
        return reasons.impossible(self._pass.empty, demand) or reasons.no_fit(
            self._pass.unkept, demand
        )


def fits(board: Board, demand: Demand, steps: int = REASON_STEPS) -> bool:
    """Say whether the demand could be placed on the board as it is."""
    kinds, pool = kinds_of(board, demand), board.pool(demand.aggregate)
    return pack(board, kinds, pool, demand.spread, [steps]) is not None
