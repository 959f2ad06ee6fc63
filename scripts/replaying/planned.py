"""Our side of a replay: the planner, driven as the granter drives it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from replaying.jobs import Job
from rq_broker.admission.granter import next_heads
from rq_broker.admission.snapshot import HEADS
from rq_broker.domain.capacity import Host
from rq_broker.domain.hold_book import HoldBook
from rq_broker.domain.holding_times import HoldingTimes, Observation, Source, demand_key
from rq_broker.domain.jobs import Demand, Shape, expected_class
from rq_broker.domain.planning import Grant, Head, Hold, Promise, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Average
from rq_broker.planner import HostTables, plan
from rq_broker.planner.packing.host_table import HostTable, free_when_empty

RESOURCE = "CPU"
"""What the hosts of a log have."""


def hosts_of(count: int, cpus: int) -> list[Host]:
    """Return the hosts of a log's cluster: so many, of so many CPUs each."""
    return [Host(f"h{number:05d}", {RESOURCE: cpus}) for number in range(count)]


def gang(job: Job) -> Demand:
    """Return the demand of a log's job: one instance of one CPU for each processor."""
    return Demand((((RESOURCE, 1),),) * job.processors)


@dataclass(slots=True)
class _ShapeLine:
    """The waiting jobs of one shape."""

    digest: str
    shape: Shape
    heads: deque[Head] = field(default_factory=deque)
    shown: WaitingShape | None = None
    """What a snapshot shows of it; None after a change."""

    def waiting(self, heads: int) -> WaitingShape:
        if self.shown is None or len(self.shown.heads) < min(heads, len(self.heads)):
            first = tuple(islice(self.heads, heads))
            self.shown = WaitingShape(self.digest, self.shape, first, len(self.heads))
        return self.shown


class PlannedCluster:
    """Hosts, line and policy of one type."""

    def __init__(
        self,
        hosts: Iterable[Host],
        policy: Policy,
        demand_of: Callable[[Job], Demand],
        estimate: Callable[[Job], float] | None,
    ) -> None:
        """Begin with an empty line.

        Args:
            hosts: the hosts.
            policy: the policy.
            demand_of: what a job needs.
            estimate: how long a job says it will hold, seconds; None: no job says it.
        """
        self._hosts = {host.name: host for host in hosts}
        self._empty_hosts = HostTable(self._hosts.values(), free_when_empty)
        self._resources = {name for host in self._hosts.values() for name in host.capacity}
        self._policy = policy
        self._demand_of = demand_of
        self._estimate = estimate
        self._lines: dict[Shape, _ShapeLine] = {}
        """Shape → its waiting jobs."""
        self._jobs: dict[int, Job] = {}
        """ID → job that waits."""
        self._granted: dict[Job, Grant] = {}
        self._passed: dict[str, float] = {}
        self._promises: tuple[Promise, ...] = ()
        self._history = HoldingTimes()
        self._holds = HoldBook()
        self._usage: dict[str, dict[str, int]] = {}
        """Owner → what its jobs hold."""
        self._averages: dict[str, dict[str, Average]] = {}
        """Owner → resource → what it held on average; empty unless the policy shares."""
        self._arrived = 0

    def arrive(self, job: Job) -> None:
        """Put a job at the end of the line."""
        self._arrived += 1
        id_ = self._arrived
        self._jobs[id_] = job
        expected = expected_class(self._said(job))
        shape = Shape(self._demand_of(job), f"user{job.user}", "", expected)
        line = self._lines.get(shape)
        if line is None:
            line = self._lines[shape] = _ShapeLine(f"shape{id_}", shape)
        line.heads.append(Head(id_, str(id_), id_))
        line.shown = None

    def end(self, job: Job, now: float) -> None:
        """Release what a job holds, and learn for how long it did."""
        grant = self._granted.pop(job)
        self._change_held(grant, now, -1)
        hold = self._holds.remove(grant.head.request_id)
        assert hold is not None
        seconds, said = now - hold.granted, self._said(job)
        self._history.add(Observation(hold.owner, hold.demand, grant.size, seconds, said))

    def start(self, now: float) -> list[Job]:
        """Run admission passes until one grants nothing."""
        started, heads, committed = list[Job](), HEADS, True
        while committed and self._lines:
            snapshot = self._snapshot(now, heads)
            planned = plan(snapshot, HostTables(self._hosts, self._empty_hosts))
            started += [self._commit(grant, now) for grant in planned.grants]
            self._passed.update({head.request_id: now for head in planned.passed})
            self._promises = planned.promises
            heads = next_heads(heads, planned, len(snapshot.waiting))
            committed = bool(planned.grants)
        return started

    def _said(self, job: Job) -> float | None:
        """Return how long a job says it will hold, seconds; None if it does not say it."""
        return self._estimate(job) if self._estimate else None

    def _snapshot(self, now: float, heads: int) -> Snapshot:
        lines = sorted(self._lines.values(), key=lambda line: line.heads[0].id)
        return Snapshot(
            hosts=self._hosts,
            waiting=tuple(line.waiting(heads) for line in lines),
            policy=self._policy,
            now=now,
            usage=self._usage,
            past_usage={owner: self._past_usage(owner, now) for owner in self._averages},
            passed=self._passed,
            promises=self._promises,
            holds=self._holds.in_order(now, self._history),
            history=self._history,
        )

    def _commit(self, grant: Grant, now: float) -> Job:
        """Let a job hold what it is granted; it waits no longer."""
        line = self._lines[grant.shape]
        first = line.heads.popleft()
        assert first == grant.head
        line.shown = None
        if not line.heads:
            del self._lines[grant.shape]
        self._passed.pop(first.request_id, None)
        job = self._jobs.pop(first.id)
        self._granted[job] = grant
        said = self._said(job) if grant.prediction.source is Source.EXPECTED else None
        self._holds.add(
            Hold(
                first.request_id,
                grant.shape.owner,
                now,
                now + (grant.prediction.hold if said is None else said),
                self._change_held(grant, now, 1),
                demand_key(grant.shape.demand),
            )
        )
        return job

    def _past_usage(self, owner: str, now: float) -> dict[str, float]:
        """Return what an owner held of each resource on average until now."""
        sharing, averages, held = (
            self._policy.sharing,
            self._averages.get(owner, {}),
            self._usage[owner],
        )
        assert sharing is not None
        return {
            resource: averages.get(resource, Average(0.0, now)).at(now, amount, sharing.half_life)
            for resource, amount in held.items()
        }

    def _change_held(self, grant: Grant, now: float, sign: int) -> dict[str, dict[str, int]]:
        """Add what a grant holds to its hosts and its owner, or with sign -1 take it away.

        Returns: host → resource → amount that the grant holds there.
        """
        owner, amounts_by_host = grant.shape.owner, dict[str, dict[str, int]]()
        usage = self._usage.setdefault(owner, dict.fromkeys(self._resources, 0))
        if self._policy.sharing:
            averages = self._past_usage(owner, now)
            self._averages[owner] = {name: Average(value, now) for name, value in averages.items()}
        for name, instance in zip(grant.hosts, grant.shape.demand.instances, strict=True):
            amounts = amounts_by_host.setdefault(name, {})
            for resource, amount in instance:
                amounts[resource] = amounts.get(resource, 0) + amount
                usage[resource] = usage.get(resource, 0) + sign * amount
        for name, amounts in amounts_by_host.items():
            held = dict(self._hosts[name].held)
            for resource, amount in amounts.items():
                held[resource] = held.get(resource, 0) + sign * amount
            self._hosts[name] = replace(self._hosts[name], held=held)
        return amounts_by_host
