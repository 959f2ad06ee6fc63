"""What patience costs and buys: one seeded workload, run through the planner under each policy.

Poisson arrivals; lognormal holding times; 95 % single instances of 2, 4 or 8 VCPU, 5 % gangs that
need half of all hosts, whole, at once. Prints utilisation and waits as a table and as a plot.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import log
from random import Random

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Protection, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import plan

HOSTS, CPUS = 8, 8
SINGLES = (2, 4, 8)
GANG_PART = 0.05
MEAN_HOLD, SIGMA = 600.0, 0.8
SHOWN = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of the workload."""

    at: float
    kind: str
    hold: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy made of the workload: waits in seconds, by size class, as they arrived."""

    name: str
    utilisation: float
    waits: dict[str, list[float]]


def demands() -> dict[str, Demand]:
    """Size class → demand."""
    kinds = {f"{n} VCPU": Demand(((("VCPU", n),),)) for n in SINGLES}
    kinds["gang"] = Demand(((("VCPU", CPUS),),) * (HOSTS // 2))
    return kinds


def workload(rng: Random, jobs: int, load: float) -> list[Arrival]:
    """Draw the jobs so that on average they would use `load` of the cluster."""
    single = sum(SINGLES) / len(SINGLES)
    mean_size = GANG_PART * CPUS * (HOSTS // 2) + (1 - GANG_PART) * single
    gap = mean_size * MEAN_HOLD / (HOSTS * CPUS * load)
    scale, now, found = log(MEAN_HOLD) - SIGMA**2 / 2, 0.0, []
    for _ in range(jobs):
        now += rng.expovariate(1 / gap)
        kind = "gang" if rng.random() < GANG_PART else f"{rng.choice(SINGLES)} VCPU"
        found.append(Arrival(now, kind, rng.lognormvariate(scale, SIGMA)))
    return found


class Cluster:
    """The hosts, the line and the clock, driven by `plan` at every arrival and every end."""

    def __init__(self, jobs: Sequence[Arrival], policy: Policy) -> None:
        self.jobs = jobs
        self.policy = policy
        self.held = {f"h{n:02d}": 0 for n in range(HOSTS)}
        self.line: dict[str, deque[int]] = {kind: deque() for kind in demands()}
        self.shapes = {kind: Shape(demand, "", "") for kind, demand in demands().items()}
        self.ends: list[tuple[float, int, tuple[str, ...], int]] = []
        self.passed: dict[str, float] = {}
        self.protection: Protection | None = None
        self.started: dict[int, float] = {}
        self.busy = 0.0
        """VCPU seconds used while jobs still arrived."""

    def run(self) -> None:
        """Play the whole workload; stop when the last job has arrived."""
        now = 0.0
        for id_, job in enumerate(self.jobs):
            while self.ends and self.ends[0][0] <= job.at:
                now = self._advance(now, self.ends[0][0])
                _, _, hosts, amount = heappop(self.ends)
                for host in hosts:
                    self.held[host] -= amount
                self._plan(now)
            now = self._advance(now, job.at)
            self.line[job.kind].append(id_)
            self._plan(now)

    def _advance(self, now: float, to: float) -> float:
        self.busy += sum(self.held.values()) * (to - now)
        return to

    def _plan(self, now: float) -> None:
        ended_early = True
        while ended_early:
            answer = plan(self._snapshot(now))
            self.protection = answer.protection
            self.passed.update({head.request_id: now for head in answer.passed})
            for grant in answer.grants:
                self._start(grant, now)
            ended_early = answer.ended_early

    def _start(self, grant: Grant, now: float) -> None:
        id_ = grant.head.id
        job = self.jobs[id_]
        self.line[job.kind].popleft()
        self.passed.pop(grant.head.request_id, None)
        self.started[id_] = now
        amount = grant.shape.demand.instances[0][0][1]
        for host in grant.hosts:
            self.held[host] += amount
        heappush(self.ends, (now + job.hold, id_, grant.hosts, amount))

    def _snapshot(self, now: float) -> Snapshot:
        hosts = {
            name: Host(name, {"VCPU": CPUS}, held={"VCPU": held})
            for name, held in self.held.items()
        }
        line = []
        for kind, ids in self.line.items():
            if ids:
                shown = (ids[at] for at in range(min(len(ids), SHOWN)))
                heads = tuple(Head(id_, str(id_), id_) for id_ in shown)
                line.append(WaitingShape(kind, self.shapes[kind], heads, len(ids)))
        return Snapshot(
            hosts, tuple(line), self.policy, now, passed=self.passed, protection=self.protection
        )


def judge(name: str, jobs: Sequence[Arrival], patience: float | None) -> Outcome:
    """Run one policy; who still waits at the end is counted with the wait so far."""
    cluster = Cluster(jobs, replace(Policy(), patience=patience))
    cluster.run()
    end = jobs[-1].at
    waits: dict[str, list[float]] = {kind: [] for kind in demands()}
    for id_, job in enumerate(jobs):
        waits[job.kind].append(cluster.started.get(id_, end) - job.at)
    used = cluster.busy / (end * HOSTS * CPUS)
    return Outcome(name, used, waits)


def at(values: Sequence[float], part: float) -> float:
    """The value that `part` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def table(outcomes: Sequence[Outcome]) -> str:
    """Render utilisation and waits in minutes, Markdown."""
    kinds = list(demands())
    head = [
        "policy",
        "utilisation",
        *(f"{kind} p50 / p99" for kind in kinds),
        "gang longest, by quarter of the run",
    ]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for outcome in outcomes:
        waits = [outcome.waits[kind] for kind in kinds]
        cells = [f"{at(w, 0.5) / 60:.1f} / {at(w, 0.99) / 60:.1f}" for w in waits]
        longest = " / ".join(f"{max(part) / 60:.0f}" for part in quarters(outcome.waits["gang"]))
        rows.append([outcome.name, f"{outcome.utilisation:.1%}", *cells, longest])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def quarters(values: Sequence[float]) -> list[Sequence[float]]:
    """Cut into four, in order of arrival: waits that only grow are waits without bound."""
    size = -(-len(values) // 4)
    return [values[start : start + size] for start in range(0, len(values), size)]


def plot(outcomes: Sequence[Outcome], width: int = 50) -> str:
    """Draw p50, p99 and the longest wait of gangs and singles, one mark each, and utilisation."""
    most = max(max(w) for outcome in outcomes for w in outcome.waits.values())
    lines = [f"{'':<24}wait, 0 to {most / 60:.0f} min: o p50, x p99, # longest; utilisation"]
    for outcome in outcomes:
        singles = [w for kind, waits in outcome.waits.items() if kind != "gang" for w in waits]
        for label, waits in (("gangs", outcome.waits["gang"]), ("singles", singles)):
            row = ["·"] * (width + 1)
            for mark, value in (("#", max(waits)), ("x", at(waits, 0.99)), ("o", at(waits, 0.5))):
                row[round(width * value / most)] = mark
            lines.append(f"{outcome.name:>14} {label:<8}{''.join(row)}  {outcome.utilisation:.0%}")
    return "\n".join(lines)


def main() -> None:
    """Read the options, run every policy on the same jobs, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=6000)
    parser.add_argument("--load", type=float, default=0.95, help="offered part of the cluster")
    options = parser.parse_args()
    jobs = workload(Random(options.seed), options.jobs, options.load)
    policies = (
        ("strict", 0.0),
        ("patience 5 min", 300.0),
        ("patience 1 h", 3600.0),
        ("best effort", None),
    )
    outcomes = [judge(name, jobs, patience) for name, patience in policies]
    gangs = sum(job.kind == "gang" for job in jobs)
    print(
        f"{len(jobs)} jobs ({gangs} gangs) in {jobs[-1].at / 3600:.0f} h, {HOSTS} hosts of {CPUS} "
        f"VCPU, offered load {options.load:.0%}, seed {options.seed}; waits in minutes\n"
    )
    print(table(outcomes) + "\n")
    print(plot(outcomes))


if __name__ == "__main__":
    main()
