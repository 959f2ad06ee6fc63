"""The planner's answer to a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rq_broker.domain.devices import is_device
from rq_broker.domain.planning import Grant, Head, Promise, Snapshot
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner.admission_pass import AdmissionPass
from rq_broker.planner.packing.host_tables import HostTables
from rq_broker.planner.reservations import Reservation
from rq_broker.planner.steps import Steps, run_all
from rq_broker.planner.waiting_reasons import WaitingReasons


@dataclass(frozen=True, slots=True)
class Plan:
    """What one admission pass decided."""

    grants: tuple[Grant, ...]
    """In the order in which they should be committed."""
    reasons: Mapping[str, Reason]
    """Digest → why the shape's first job that was not granted waits. Computed when read."""
    passed: tuple[Head, ...]
    """Jobs that a later job passed in this pass for the first time."""
    reservations: tuple[Reservation, ...]
    """Capacity reserved in time for jobs passed too long."""
    promises: tuple[Promise, ...]
    """What the jobs with a reservation were first promised; the next snapshot's `promises`."""
    ended_early: bool
    """True: all shown jobs of some shape are granted and it has more. Plan again after a commit."""

    @property
    def kept(self) -> dict[str, dict[str, int]]:
        """What the reservations keep: host → resource → amount, of devices their sums."""
        kept: dict[str, dict[str, int]] = {}
        for reservation in self.reservations:
            for host, row in reservation.amounts.items():
                amounts = kept.setdefault(host, {})
                for name, amount in row.items():
                    if not is_device(name):
                        amounts[name] = amounts.get(name, 0) + amount
        return kept


def plan(snapshot: Snapshot, tables: HostTables | None = None) -> Plan:
    """Decide the grants of one pass at once, see `plan_steps`."""
    return run_all(plan_steps(snapshot, tables))


def plan_steps(snapshot: Snapshot, tables: HostTables | None = None) -> Steps[Plan]:
    """Decide the grants of one pass. Pure: the same snapshot gives the same plan.

    Args:
        snapshot: What is known.
        tables: Of the snapshot's hosts, where the caller has them already: saves time and changes
            nothing.
    """
    admission_pass = AdmissionPass(snapshot, tables)
    if not snapshot.policy.paused:
        yield from admission_pass.steps()
    return Plan(
        tuple(admission_pass.grants),
        WaitingReasons(admission_pass),
        tuple(admission_pass.passed_jobs.newly_passed.values()),
        tuple(admission_pass.reservations.all),
        tuple(admission_pass.promises),
        admission_pass.ended_early,
    )
