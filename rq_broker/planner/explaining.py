"""Explains one waiting job: why it waits, for which hosts, and how much it could have now.

The explanation comes from the same pass that makes grants, stopped at the job's turn. So what later
jobs would be granted does not count against it; what is kept for earlier jobs does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from rq_broker.domain.devices import without_sums
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Grant, Hold, OwnedJob, Snapshot
from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.traits import instance_of, traits_of
from rq_broker.planner.admission_pass import AdmissionPass
from rq_broker.planner.blocked import BlockedShape
from rq_broker.planner.closest_hosts import choose_hosts
from rq_broker.planner.packing.best_fit import fits, total
from rq_broker.planner.packing.host_table import HostTable, Needs, indexes_of
from rq_broker.planner.packing.host_tables import HostTables
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.plans import plan_steps
from rq_broker.planner.steps import Steps, run_all
from rq_broker.planner.waiting_reasons import WaitingReasons

REASONS_OF_SIZE = frozenset(ReasonCode) - {
    ReasonCode.PAUSED,
    ReasonCode.AT_ONCE,
    ReasonCode.DESTINATION_CLOSED,
    ReasonCode.DESTINATION_ASKED,
    ReasonCode.DESTINATION_BEHIND,
    ReasonCode.OFFERS_MISSED,
    ReasonCode.OFFERS_OPEN,
    ReasonCode.NEXT_PASS,
    ReasonCode.NO_NOTIFIER,
}
"""The reasons that a smaller request could overcome."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A resource of which a host has too little; `free` may be below 0."""

    host: str
    resource: str
    needed: int
    free: int


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest version of a request that would be granted now, made smaller in two ways."""

    instances: int
    """How many of its instances, counted from the first, unchanged."""
    percent: int
    """All its instances, every amount scaled to this whole percent, rounded down, at least 1. It
    is the least that scales to `demand`: half of 4 VCPU is told as 50, not as 74."""
    demand: Demand | None
    """The demand so scaled; None when not even 1 % would be granted."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything the planner knows about the first waiting job of a shape."""

    request_id: str | None
    """The job explained: the shape's first that is not granted, or its first if all are."""
    hosts: tuple[str, ...]
    """Where a pass would grant it now, one name an instance; else the hosts that come closest."""
    reason: Reason | None
    """None: a pass would grant it now."""
    shortfalls: tuple[Shortfall, ...] = ()
    """What is missing on `hosts`, per resource, for all its instances together."""
    start: float | None = None
    """From when on its capacity is reserved on `hosts`, seconds since 1970; None if it is not."""
    awaited: tuple[Hold, ...] = ()
    """The holds whose expected ends it then waits for, the earliest first."""
    passed_since: float | None = None
    """When a later job first passed it, seconds since 1970."""
    passed_by: tuple[OwnedJob, ...] = ()
    """Later jobs that a pass would grant now on hosts it could use."""
    usable_hosts: frozenset[str] = frozenset()
    """The hosts of its aggregate, while it waits."""
    largest: Largest | None = None
    """None where no size would help: granted, paused, as many of its array hold as may, or nobody
    takes its callbacks or offers now."""
    alternative: int | None = None
    """Which of its alternatives `hosts` are of; None for a job that has none."""


def explain(snapshot: Snapshot, digest: str) -> Explanation:
    """Explain the shape's first waiting job at once, see `explain_steps`."""
    return run_all(explain_steps(snapshot, digest))


def explain_steps(
    snapshot: Snapshot, digest: str, tables: HostTables | None = None
) -> Steps[Explanation]:
    """Explain the shape's first waiting job; `tables` as of `plan_steps`.

    Raises KeyError for an unknown digest.
    """
    waiting = next((shape for shape in snapshot.waiting if shape.digest == digest), None)
    if waiting is None:
        raise KeyError(digest)
    # 1. Run a pass up to the job's turn.
    tables = tables or HostTables(snapshot.hosts)
    admission_pass = AdmissionPass(snapshot, tables)
    if not snapshot.policy.paused:
        yield from admission_pass.steps(stop_at=digest)
    # 2. It waits: say for what.
    blocked = admission_pass.blocked.get(digest)
    if blocked is not None:
        return (yield from _explain_blocked(admission_pass, blocked, tables))
    # 3. It is granted: say where.
    names = {head.request_id for head in waiting.heads}
    grants = (grant for grant in admission_pass.grants if grant.head.request_id in names)
    first_grant = next(grants, None)
    if first_grant is not None:
        has_others = bool(waiting.shape.demand.alternatives)
        alternative = first_grant.alternative if has_others else None
        name, hosts = first_grant.head.request_id, first_grant.hosts
        return Explanation(name, hosts, None, alternative=alternative)
    # 4. The pass did not come to it: the type is paused, or the pass ended early.
    first = waiting.heads[0].request_id if waiting.heads else None
    return Explanation(first, (), WaitingReasons(admission_pass)[digest])


def _explain_blocked(
    admission_pass: AdmissionPass, blocked: BlockedShape, tables: HostTables
) -> Steps[Explanation]:
    snapshot, head, placer = admission_pass.snapshot, blocked.head, blocked.placer
    table = admission_pass.table_for(blocked)
    reserved = admission_pass.reservations.of(head)
    if reserved is None:
        needs = _closest_hosts(admission_pass, table, placer.demand)
    else:
        needs = reserved.needs
    reason = WaitingReasons(admission_pass)[blocked.waiting.digest]
    helps = (blocked.reason or reason).code in REASONS_OF_SIZE
    yield
    passed_by = yield from _passed_by(snapshot, admission_pass.grants, blocked, tables)
    largest = (yield from _largest(admission_pass, table, blocked)) if helps else None
    return Explanation(
        request_id=head.request_id,
        hosts=tuple(sorted(table.names[index] for index in needs)),
        reason=reason,
        shortfalls=_shortfalls(table, needs),
        start=None if reserved is None else reserved.start,
        awaited=tuple(admission_pass.awaited_holds(reserved)) if reserved else (),
        passed_since=snapshot.passed.get(head.request_id),
        passed_by=passed_by,
        usable_hosts=frozenset(table.names[index] for index in indexes_of(blocked.usable_hosts)),
        largest=largest,
        alternative=blocked.alternative,
    )


def _closest_hosts(admission_pass: AdmissionPass, table: HostTable, demand: Demand) -> Needs:
    """Choose the hosts where least is missing for the whole job: those protection would keep.

    Where others use so much that even the end of every hold would not do, the hosts are chosen as
    if nobody used them.
    """
    placer, without_holds = Placer(table, demand), admission_pass.without_holds(table)
    return (
        choose_hosts(placer, without_holds, frozenset())
        or choose_hosts(placer, admission_pass.empty_hosts, frozenset())
        or {}
    )


def _shortfalls(table: HostTable, needs: Needs) -> tuple[Shortfall, ...]:
    """List what the hosts lack of `needs`, by host and resource, or device."""
    return tuple(
        Shortfall(table.names[index], resource, amount, table.rows[index].get(resource, 0))
        for index, row in sorted(needs.items(), key=lambda item: table.names[item[0]])
        for resource, amount in sorted(without_sums(row).items())
        if table.rows[index].get(resource, 0) < amount
    )


def _passed_by(
    snapshot: Snapshot,
    earlier_grants: Sequence[Grant],
    blocked: BlockedShape,
    tables: HostTables,
) -> Steps[tuple[OwnedJob, ...]]:
    """List the later grants of a whole pass that use a host the job could use."""
    hosts, demands = snapshot.hosts, [placer.demand for placer in blocked.placers]
    planned = yield from plan_steps(snapshot, tables)
    later_grants = planned.grants[len(earlier_grants) :]
    return tuple(
        OwnedJob(grant.head.request_id, grant.shape.owner)
        for grant in later_grants
        if any(demand.admits(hosts[name]) for name in grant.hosts for demand in demands)
    )


def _largest(
    admission_pass: AdmissionPass, table: HostTable, blocked: BlockedShape
) -> Steps[Largest]:
    demand, owner = replace(blocked.placer.demand, elastic=None), blocked.waiting.shape.owner
    open_hosts = table.without_hosts(blocked.closed_hosts)

    def would_be_granted(version: Demand) -> bool:
        exceeded = admission_pass.usage.exceeded_limit(owner, total(version))
        return exceeded is None and fits(open_hosts, version)

    def first_instances(count: int) -> Demand:
        return replace(demand, instances=demand.instances[:count])

    count = yield from _largest_below(
        len(demand.instances), lambda n: would_be_granted(first_instances(n))
    )
    percent = yield from _largest_below(
        100, lambda percent: would_be_granted(scaled(demand, percent))
    )
    best = scaled(demand, percent) if percent else None
    return Largest(count, _least_percent(demand, percent), best)


def _largest_below(limit: int, is_good: Callable[[int], bool]) -> Steps[int]:
    """Bisect for the largest number below `limit` that is good; 0 counts as good without a test."""
    good = 0
    while limit - good > 1:
        middle = (good + limit) // 2
        if is_good(middle):
            good = middle
        else:
            limit = middle
        yield
    return good


def _least_percent(demand: Demand, percent: int) -> int:
    """Return the least percent that scales every amount to what `percent` scales it to."""
    amounts = {amount for instance in demand.instances for _, amount in instance}
    exact = (-(-(amount * percent // 100) * 100 // amount) for amount in amounts)
    return max(exact, default=0) or min(percent, 1)


def scaled(demand: Demand, percent: int) -> Demand:
    """Scale every amount to a percent, rounded down, but to no less than 1."""
    instances = tuple(
        instance_of(
            ((resource, max(amount * percent // 100, 1)) for resource, amount in instance),
            traits_of(instance),
        )
        for instance in demand.instances
    )
    return replace(demand, instances=instances)
