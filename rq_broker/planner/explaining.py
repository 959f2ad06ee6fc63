"""What a waiting job is told: why it waits, for which hosts, and how much it could have now.

All of it is read off the same pass that makes grants, stopped at the job's turn: what jobs after it
took does not count against it, what is kept for jobs before it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Snapshot
from rq_broker.planner.admission import Pass, Stuck
from rq_broker.planner.board import Board, unheld
from rq_broker.planner.packing import Want, bits_of, total
from rq_broker.planner.planning import Reasons, fits, plan
from rq_broker.planner.protection import Needs, choose
from rq_broker.planner.reasons import Code, Reason, Shortfall

SIZED = frozenset(Code) - {Code.PAUSED, Code.DESTINATION_CLOSED, Code.NEXT_PASS}
"""The reasons a smaller request could overcome."""


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest version of a request that would be granted now, in two directions."""

    instances: int
    """How many of its instances, counted from the first, unchanged."""
    percent: int
    """All its instances, every amount scaled to this whole percent, rounded down, at least 1."""
    demand: Demand | None
    """The demand so scaled; None when not even 1 % would be granted."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say about the first waiting job of a shape."""

    request_id: str | None
    """The job explained: the shape's first that is not granted, or its first if all are."""
    hosts: tuple[str, ...]
    """Where a pass would grant it now, one name an instance; else those it comes closest to."""
    reason: Reason | None
    """None: a pass would grant it now."""
    shortfalls: tuple[Shortfall, ...] = ()
    """Resource by resource what is missing on `hosts`, for all its instances together."""
    protected: bool = False
    """What it needs on `hosts` is kept from later jobs."""
    passed_since: float | None = None
    """When a later job first passed it, seconds since 1970."""
    passed_by: tuple[str, ...] = ()
    """request_ids of later jobs a pass would grant now."""
    pool: frozenset[str] = frozenset()
    """The hosts it could want, while it waits."""
    largest: Largest | None = None
    """None where no size would help: granted, paused, or its destination is closed."""


def explain(snapshot: Snapshot, digest: str) -> Explanation:
    """Explain the shape's first waiting job. Raises KeyError for an unknown digest."""
    done = Pass(snapshot)
    entry = next((entry for entry, _ in done.shapes if entry.digest == digest), None)
    if entry is None:
        raise KeyError(digest)
    if not snapshot.policy.paused:
        done.run(until=digest)
    stuck = done.stuck.get(digest)
    if stuck is not None:
        return _waiting(done, stuck)
    mine = {head.request_id for head in entry.heads}
    grant = next((grant for grant in done.grants if grant.head.request_id in mine), None)
    if grant is not None:
        return Explanation(grant.head.request_id, grant.hosts, None)
    first = entry.heads[0].request_id if entry.heads else None
    return Explanation(first, (), Reasons(done)[digest])


def _waiting(done: Pass, stuck: Stuck) -> Explanation:
    snapshot, head = done.snapshot, stuck.head
    protected = done.protection is not None and done.protection.is_for(head)
    board = done.board if not protected else done.unkept
    hosts, shortfalls = _closest(done, board, stuck.want.demand, done.kept if protected else {})
    reason = Reasons(done)[stuck.entry.digest]
    return Explanation(
        head.request_id,
        hosts,
        reason,
        shortfalls,
        protected,
        snapshot.passed.get(head.request_id),
        _passed_by(snapshot, done.grants, stuck),
        frozenset(board.names[bit] for bit in bits_of(stuck.want.pool)),
        _largest(done, board, stuck) if reason.code in SIZED else None,
    )


def _closest(
    done: Pass, board: Board, demand: Demand, kept: Needs
) -> tuple[tuple[str, ...], tuple[Shortfall, ...]]:
    """Find the hosts where least is missing for the whole job, and what that is."""
    hosts = done.snapshot.hosts
    potential = board.twin([unheld(hosts[name]) for name in board.names])
    needs = kept or choose(Want(board, demand), potential, frozenset()) or {}
    shortfalls = [
        Shortfall(board.names[bit], resource, amount, board.rows[bit].get(resource, 0))
        for bit, row in sorted(needs.items(), key=lambda item: board.names[item[0]])
        for resource, amount in sorted(row.items())
        if board.rows[bit].get(resource, 0) < amount
    ]
    return tuple(sorted(board.names[bit] for bit in needs)), tuple(shortfalls)


def _passed_by(snapshot: Snapshot, before: list[Grant], stuck: Stuck) -> tuple[str, ...]:
    """The later grants of a whole pass that use a host the job could have wanted."""
    demand, hosts = stuck.want.demand, snapshot.hosts
    later = plan(snapshot).grants[len(before) :]
    return tuple(
        grant.head.request_id
        for grant in later
        if any(
            demand.aggregate is None or demand.aggregate in hosts[name].aggregates
            for name in grant.hosts
        )
    )


def _largest(done: Pass, board: Board, stuck: Stuck) -> Largest:
    demand, owner = stuck.want.demand, stuck.entry.shape.owner
    open_board = _without(board, stuck.shut)

    def granted(version: Demand) -> bool:
        return done.ledger.cap(owner, total(version)) is None and fits(open_board, version)

    count = _most(
        len(demand.instances), lambda n: granted(replace(demand, instances=demand.instances[:n]))
    )
    percent = _most(100, lambda p: granted(scaled(demand, p)))
    return Largest(count, percent, scaled(demand, percent) if percent else None)


def _without(board: Board, shut: int) -> Board:
    if not shut:
        return board
    other = board.twin(board.rows)
    other.all &= ~shut
    other.pools = {name: pool & ~shut for name, pool in board.pools.items()}
    return other


def _most(below: int, good: Callable[[int], bool]) -> int:
    """Bisect for the largest number under `below` that is good; 0 counts as good, unasked."""
    low = 0
    while below - low > 1:
        middle = (low + below) // 2
        low, below = (middle, below) if good(middle) else (low, middle)
    return low


def scaled(demand: Demand, percent: int) -> Demand:
    """Scale every amount, rounded down, but to no less than 1."""
    parts = tuple(
        tuple((resource, max(amount * percent // 100, 1)) for resource, amount in need)
        for need in demand.instances
    )
    return replace(demand, instances=parts)
