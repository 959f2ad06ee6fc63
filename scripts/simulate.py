"""What patience costs and buys: one seeded workload, run through the planner under each policy.

Poisson arrivals; lognormal holding times; 95 % single instances of 2, 4 or 8 VCPU, 5 % gangs that
need half of all hosts, whole, at once. Prints utilisation and waits as a table and as a plot.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import log
from random import Random
from typing import NamedTuple

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Promise, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import plan

HOSTS, VCPUS = 8, 8
SINGLES = (2, 4, 8)
GANG_PART = 0.05
MEAN_HOLDING_TIME, SIGMA = 600.0, 0.8
"""Seconds, and the spread of their logarithm."""
SHOWN_JOBS = 64
"""Jobs of each size that one pass sees."""
POLICIES = (
    ("strict", 0.0),
    ("patience 5 min", 300.0),
    ("patience 1 h", 3600.0),
    ("best effort", None),
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of the workload."""

    seconds: float
    size: str
    holding_time: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy made of the workload."""

    policy: str
    utilisation: float
    waits: dict[str, list[float]]
    """Size → seconds each job waited, in the order of arrival."""


class HoldEnd(NamedTuple):
    """When a job ends, as the heap sorts it."""

    seconds: float
    job_id: int
    hosts: tuple[str, ...]
    vcpus: int
    """Held on each of the hosts."""


def demands() -> dict[str, Demand]:
    """Return each size's demand."""
    by_size = {f"{n} VCPU": Demand(((("VCPU", n),),)) for n in SINGLES}
    by_size["gang"] = Demand(((("VCPU", VCPUS),),) * (HOSTS // 2))
    return by_size


def workload(rng: Random, jobs: int, load: float) -> list[Arrival]:
    """Draw the jobs so that on average they would use `load` of the cluster."""
    mean_single = sum(SINGLES) / len(SINGLES)
    mean_vcpus = GANG_PART * VCPUS * (HOSTS // 2) + (1 - GANG_PART) * mean_single
    mean_gap = mean_vcpus * MEAN_HOLDING_TIME / (HOSTS * VCPUS * load)
    scale, seconds, arrivals = log(MEAN_HOLDING_TIME) - SIGMA**2 / 2, 0.0, []
    for _ in range(jobs):
        seconds += rng.expovariate(1 / mean_gap)
        size = "gang" if rng.random() < GANG_PART else f"{rng.choice(SINGLES)} VCPU"
        arrivals.append(Arrival(seconds, size, rng.lognormvariate(scale, SIGMA)))
    return arrivals


class Cluster:
    """Hosts, queue and clock; `plan` runs at every arrival and every end."""

    def __init__(self, jobs: Sequence[Arrival], policy: Policy) -> None:
        self.jobs = jobs
        self.policy = policy
        self.held = {f"h{n:02d}": 0 for n in range(HOSTS)}
        self.queues: dict[str, deque[int]] = {size: deque() for size in demands()}
        self.shapes = {size: Shape(demand, "", "") for size, demand in demands().items()}
        self.ends: list[HoldEnd] = []
        self.passed: dict[str, float] = {}
        self.promises: tuple[Promise, ...] = ()
        self.starts: dict[int, float] = {}
        """Job → when it was granted."""
        self.used_vcpu_seconds = 0.0

    def run(self) -> None:
        """Play the whole workload; stop when the last job has arrived."""
        now = 0.0
        for job_id, job in enumerate(self.jobs):
            while self.ends and self.ends[0].seconds <= job.seconds:
                end = heappop(self.ends)
                now = self._advance(now, end.seconds)
                for host in end.hosts:
                    self.held[host] -= end.vcpus
                self._plan(now)
            now = self._advance(now, job.seconds)
            self.queues[job.size].append(job_id)
            self._plan(now)

    def _advance(self, now: float, until: float) -> float:
        self.used_vcpu_seconds += sum(self.held.values()) * (until - now)
        return until

    def _plan(self, now: float) -> None:
        unfinished = True
        while unfinished:
            planned = plan(self._snapshot(now))
            self.promises = planned.promises
            self.passed.update({head.request_id: now for head in planned.passed})
            for grant in planned.grants:
                self._start(grant, now)
            unfinished = planned.ended_early

    def _start(self, grant: Grant, now: float) -> None:
        job_id = grant.head.id
        job = self.jobs[job_id]
        self.queues[job.size].popleft()
        self.passed.pop(grant.head.request_id, None)
        self.starts[job_id] = now
        vcpus = grant.shape.demand.instances[0][0][1]
        for host in grant.hosts:
            self.held[host] += vcpus
        heappush(self.ends, HoldEnd(now + job.holding_time, job_id, grant.hosts, vcpus))

    def _snapshot(self, now: float) -> Snapshot:
        hosts = {
            name: Host(name, {"VCPU": VCPUS}, held={"VCPU": held})
            for name, held in self.held.items()
        }
        waiting = []
        for size, job_ids in self.queues.items():
            if job_ids:
                shown = (job_ids[n] for n in range(min(len(job_ids), SHOWN_JOBS)))
                heads = tuple(Head(job_id, str(job_id), job_id) for job_id in shown)
                waiting.append(WaitingShape(size, self.shapes[size], heads, len(job_ids)))
        return Snapshot(
            hosts, tuple(waiting), self.policy, now, passed=self.passed, promises=self.promises
        )


def outcome_of(policy: str, jobs: Sequence[Arrival], patience: float | None) -> Outcome:
    """Run one policy. A job that still waits at the end counts with its wait so far."""
    cluster = Cluster(jobs, Policy(patience=patience))
    cluster.run()
    end = jobs[-1].seconds
    waits: dict[str, list[float]] = {size: [] for size in demands()}
    for job_id, job in enumerate(jobs):
        waits[job.size].append(cluster.starts.get(job_id, end) - job.seconds)
    return Outcome(policy, cluster.used_vcpu_seconds / (end * HOSTS * VCPUS), waits)


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def table(outcomes: Sequence[Outcome]) -> str:
    """Render utilisation and waits in minutes, as Markdown."""
    sizes = list(demands())
    columns = [
        "policy",
        "utilisation",
        *(f"{size} p50 / p99" for size in sizes),
        "gang longest, by quarter of the run",
    ]
    rows = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
    for outcome in outcomes:
        waits = [outcome.waits[size] for size in sizes]
        cells = [f"{percentile(w, 0.5) / 60:.1f} / {percentile(w, 0.99) / 60:.1f}" for w in waits]
        longest = " / ".join(f"{max(part) / 60:.0f}" for part in quarters(outcome.waits["gang"]))
        rows.append([outcome.policy, f"{outcome.utilisation:.1%}", *cells, longest])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def quarters(values: Sequence[float]) -> list[Sequence[float]]:
    """Cut into four, in order of arrival: waits that only grow are waits without bound."""
    length = -(-len(values) // 4)
    return [values[start : start + length] for start in range(0, len(values), length)]


def plot(outcomes: Sequence[Outcome], width: int = 50) -> str:
    """Draw p50, p99 and the longest wait of gangs and singles, one mark each, and utilisation."""
    longest = max(max(waits) for outcome in outcomes for waits in outcome.waits.values())
    lines = [f"{'':<24}wait, 0 to {longest / 60:.0f} min: o p50, x p99, # longest; utilisation"]
    for outcome in outcomes:
        singles = [w for size, waits in outcome.waits.items() if size != "gang" for w in waits]
        for label, waits in (("gangs", outcome.waits["gang"]), ("singles", singles)):
            row = ["·"] * (width + 1)
            marks = {"#": max(waits), "x": percentile(waits, 0.99), "o": percentile(waits, 0.5)}
            for mark, value in marks.items():
                row[round(width * value / longest)] = mark
            used = f"{outcome.utilisation:.0%}"
            lines.append(f"{outcome.policy:>14} {label:<8}{''.join(row)}  {used}")
    return "\n".join(lines)


def main() -> None:
    """Read the options, run every policy on the same jobs, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the workload (default: 1)")
    parser.add_argument("--jobs", type=int, default=6000, help="that arrive (default: 6000)")
    parser.add_argument(
        "--load", type=float, default=0.95, help="offered part of the cluster (default: 0.95)"
    )
    options = parser.parse_args()
    jobs = workload(Random(options.seed), options.jobs, options.load)
    outcomes = [outcome_of(policy, jobs, patience) for policy, patience in POLICIES]
    gangs = sum(job.size == "gang" for job in jobs)
    hours = jobs[-1].seconds / 3600
    print(
        f"{len(jobs)} jobs ({gangs} gangs) in {hours:.0f} h, {HOSTS} hosts of {VCPUS} VCPU, "
        f"offered load {options.load:.0%}, seed {options.seed}; waits in minutes\n"
    )
    print(table(outcomes) + "\n")
    print(plot(outcomes))


if __name__ == "__main__":
    main()
