"""Why each shape waits after an admission pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from rq_broker.domain.jobs import Demand
from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner import reasons
from rq_broker.planner.admission_pass import AdmissionPass
from rq_broker.planner.blocked import BlockedShape
from rq_broker.planner.capacity_reasons import beyond_limits, impossible, no_fit
from rq_broker.planner.packing.best_fit import fits
from rq_broker.planner.packing.host_table import indexes_of
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.reservations import Reservation


class WaitingReasons(Mapping[str, Reason]):
    """Digest → reason, for each shape that waits after a pass.

    A reason is computed when it is read: a pass whose reasons nobody reads stays short.
    """

    def __init__(self, admission_pass: AdmissionPass) -> None:
        self._pass = admission_pass
        self._shapes = {
            waiting.digest: waiting.shape
            for waiting in admission_pass.snapshot.waiting
            if waiting.count > len(waiting.heads)
            or (waiting.count and waiting.digest not in admission_pass.exhausted)
        }
        self._impossible: dict[Demand, Reason | None] = {}
        self._by_demand: dict[Demand, Reason] = {}

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __getitem__(self, digest: str) -> Reason:
        if digest not in self._shapes:
            raise KeyError(digest)
        blocked = self._pass.blocked.get(digest)
        delay = self._delay(blocked)
        if delay is not None:
            return self._never(digest) or delay
        assert blocked is not None
        made = self._pass.reservations.of(blocked.head)
        if made is not None:
            return self._reserved(blocked, made)
        return self._with_share(self._waits_for(blocked), blocked)

    def _delay(self, blocked: BlockedShape | None) -> Reason | None:
        """Return why a shape waits, where nobody searched for room for it; None else."""
        if self._pass.snapshot.policy.paused:
            return reasons.PAUSED
        return blocked.reason if blocked else reasons.NEXT_PASS

    def _never(self, digest: str) -> Reason | None:
        """Return why a shape can never be granted: that wins over what only delays it."""
        shape, limits = self._shapes[digest], self._pass.snapshot.policy.limits
        never = self._never_fits(shape.demand)
        return never or (beyond_limits(limits, shape.owner, shape.demand) if limits else None)

    def _never_fits(self, demand: Demand) -> Reason | None:
        """Return why the hosts could never hold a demand; None if they perhaps could."""
        if demand not in self._impossible:
            self._impossible[demand] = impossible(self._pass.empty_hosts, demand)
        return self._impossible[demand]

    def _waits_for(self, blocked: BlockedShape) -> Reason:
        """Say what a job lacks; of one with alternatives, what each of them lacks."""
        if not blocked.options:
            return self._lacks(blocked)
        return self._of_each(blocked, lambda placer: self._lacks(replace(blocked, placer=placer)))

    def _of_each(self, blocked: BlockedShape, lacks: Callable[[Placer], Reason]) -> Reason:
        """Join the reasons of a job's alternatives."""
        owner, now = blocked.waiting.shape.owner, self._pass.snapshot.now
        parts = [
            reasons.over_limit(owner, option.exceeded) if option.exceeded else lacks(option.placer)
            for option in blocked.options
        ]
        return reasons.of_alternatives(parts, blocked.head.prefers_until, now)

    def _lacks(self, blocked: BlockedShape) -> Reason:
        demand = blocked.placer.demand
        if demand not in self._by_demand:
            self._by_demand[demand] = self._no_room(blocked)
        return self._by_demand[demand]

    def _with_share(self, reason: Reason, blocked: BlockedShape) -> Reason:
        """Add that another owner's later job goes first, where shares decide so."""
        lead = blocked.lead
        if reason.code is ReasonCode.IMPOSSIBLE or lead is None:
            return reason
        if self._never_fits(lead.demand):
            return reason
        owner, share = blocked.waiting.shape.owner, blocked.share
        return reasons.outranked(reason, lead, owner, share)

    def _reserved(self, blocked: BlockedShape, made: Reservation) -> Reason:
        """Say what a job with a reservation lacks now, and from when on it will have it."""
        lacking = self._no_fit(blocked.placer.demand)
        if blocked.options:
            lacking = self._of_each(blocked, lambda placer: self._no_fit_now(placer.demand))
        awaited = [hold.request_id for hold in self._pass.awaited_holds(made)]
        start = None if made.is_fixed else made.start
        return reasons.reserved(lacking, made.hosts, start, awaited, self._pass.snapshot.now)

    def _no_room(self, blocked: BlockedShape) -> Reason:
        """Name an earlier job as the reason only if the demand would fit without it."""
        demand, blocker = blocked.placer.demand, self._blocker(blocked)
        if blocker is not None and fits(self._pass.table, demand):
            is_strict = self._pass.snapshot.policy.strict_order
            if is_strict:
                return reasons.behind(ReasonCode.STRICT_ORDER, blocker.head.request_id)
            return self._protected(blocked, blocker)
        return self._no_fit_now(demand)

    def _protected(self, blocked: BlockedShape, blocker: BlockedShape) -> Reason:
        """Name the earlier job that this one could delay, and hosts that are kept for it."""
        name, kept = blocker.head.request_id, self._pass.reservations.of(blocker.head)
        table, usable = self._pass.table, blocked.placer.usable_hosts
        names = {table.names[index] for index in indexes_of(usable)}
        return reasons.behind(
            ReasonCode.PROTECTED_OTHER,
            name,
            self._pass.snapshot.passed.get(name),
            names.intersection(kept.hosts) if kept else (),
        )

    def _no_fit_now(self, demand: Demand) -> Reason:
        return self._never_fits(demand) or self._no_fit(demand)

    def _no_fit(self, demand: Demand) -> Reason:
        """Say what is missing, and that earlier jobs' grants of this pass are taken off already."""
        lacking = no_fit(self._pass.table, demand)
        granted_on = {name for grant in self._pass.grants for name in grant.hosts}
        if granted_on.isdisjoint(lacking.short_on or granted_on):
            return lacking
        return replace(lacking, after_earlier=True)

    def _blocker(self, blocked: BlockedShape) -> BlockedShape | None:
        """Return the first job that keeps hosts this one could use; it may be this one itself."""
        hosts = blocked.placer.usable_hosts
        return next((other for other in self._pass.blockers if other.usable_hosts & hosts), None)
