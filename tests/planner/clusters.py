"""A cluster driven by the planner alone: jobs arrive, are granted, hold for a time and end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import amounts_by_host
from rq_broker.domain.hold_book import HoldBook
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Hold, Promise, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import plan
from tests.planner.device_oracle import with_held
from tests.planner.oracle import name_of


@dataclass(frozen=True, slots=True)
class Job:
    """A job that arrives."""

    id: int
    arrives: float
    seconds: float
    """How long it will hold."""
    demand: Demand
    owner: str
    says: int | None = None
    """How long its client says it will hold, seconds."""


class Cluster:
    """Time, hosts, queue and holds; it learns from ended jobs, and keeps what passes note."""

    def __init__(
        self,
        hosts: Iterable[Host],
        policy: Policy,
        history: HoldingTimes,
        promises: tuple[Promise, ...] = (),
    ) -> None:
        self.now = 0.0
        self.policy = policy
        self.history = history
        self.hosts = {host.name: host for host in hosts}
        self.starts: dict[int, float] = {}
        self.first_promises: dict[int, Promise] = {}
        """Job → the first promise made to it."""
        self._waiting: dict[int, Job] = {}
        self._passed: dict[str, float] = {}
        self._promises = promises
        self._holds = HoldBook()
        self._grants: dict[int, Grant] = {}
        self._ends: list[tuple[float, int]] = []

    def run(self, jobs: Iterable[Job]) -> None:
        """Let all jobs arrive, and run until no hold is left."""
        arriving = sorted(jobs, key=lambda job: (job.arrives, job.id))[::-1]
        while arriving or self._ends:
            moments = [self._ends[0][0]] if self._ends else []
            self.now = min([*moments, *(job.arrives for job in arriving[-1:])])
            while self._ends and self._ends[0][0] <= self.now:
                self._end(heappop(self._ends)[1])
            while arriving and arriving[-1].arrives <= self.now:
                job = arriving.pop()
                self._waiting[job.id] = job
            self._run_passes()

    @property
    def never_started(self) -> set[int]:
        """The jobs that still wait."""
        return set(self._waiting)

    def _run_passes(self) -> None:
        unfinished = True
        while unfinished:
            planned = plan(self._snapshot())
            self._promises = planned.promises
            for promise in planned.promises:
                self.first_promises.setdefault(promise.job_id, promise)
            for head in planned.passed:
                self._passed.setdefault(head.request_id, self.now)
            for grant in planned.grants:
                self._start(grant)
            unfinished = bool(planned.grants)

    def _snapshot(self) -> Snapshot:
        by_shape: dict[Shape, list[Head]] = defaultdict(list)
        for job in self._waiting.values():
            shape = Shape(job.demand, job.owner, "", job.says)
            by_shape[shape].append(Head(job.id, name_of(job.id), job.id))
        waiting = tuple(
            WaitingShape(shape.canonical(), shape, tuple(heads), len(heads))
            for shape, heads in by_shape.items()
        )
        return Snapshot(
            self.hosts,
            waiting,
            self.policy,
            self.now,
            passed=self._passed,
            promises=self._promises,
            holds=self._holds.in_order(self.now, self.history),
            history=self.history,
        )

    def _start(self, grant: Grant) -> None:
        id_ = grant.head.id
        job = self._waiting.pop(id_)
        self._passed.pop(grant.head.request_id, None)
        self.starts[id_] = self.now
        amounts = amounts_by_host(grant.hosts, grant.demand.instances, grant.devices)
        ends = self.now + grant.prediction.hold
        key = demand_key(job.demand)
        self._holds.add(Hold(grant.head.request_id, job.owner, self.now, ends, amounts, key))
        self._grants[id_] = grant
        self._change_held(amounts, 1)
        heappush(self._ends, (self.now + job.seconds, id_))

    def _end(self, id_: int) -> None:
        grant = self._grants.pop(id_)
        hold = self._holds.remove(grant.head.request_id)
        assert hold is not None
        self._change_held(hold.amounts, -1)
        seconds = self.now - hold.granted
        self.history.add(Observation(hold.owner, hold.demand, grant.size, seconds))

    def _change_held(self, amounts: Mapping[str, Mapping[str, int]], sign: int) -> None:
        for name, row in amounts.items():
            self.hosts[name] = with_held(self.hosts[name], row, sign)
