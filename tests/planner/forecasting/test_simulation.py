"""A simulated future keeps the planner's own rules: where all is known, both start alike."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.planning import Promise
from rq_broker.domain.policy import Policy
from rq_broker.planner import promising
from rq_broker.planner.forecasting import holding_draws
from rq_broker.planner.forecasting.scene import Scene
from rq_broker.planner.steps import run_all
from tests.planner.clusters import Cluster, Job
from tests.planner.forecasting.lines import line_of
from tests.planner.oracle import demand, hold, host, instance, name_of, snapshot_of, waiting

SECONDS = {"quick": 10.0, "usual": 100.0, "slow": 1000.0}
"""Owner → how long each of its jobs holds."""


def line(seed: int, jobs: int, widest: int) -> list[Job]:
    """Build jobs of gangs of one CPU that all wait at once."""
    rng = Random(seed)
    return [
        Job(
            number,
            0.0,
            SECONDS[owner],
            demand(*[instance(VCPU=1)] * rng.choice([1, 1, 2, rng.randint(1, widest)])),
            owner,
        )
        for number, owner in enumerate(rng.choices(list(SECONDS), k=jobs), 1)
    ]


def learnt(jobs: list[Job]) -> HoldingTimes:
    """Build a history from which each of the jobs is predicted exactly."""
    return HoldingTimes(
        Observation(job.owner, demand_key(job.demand), 0, job.seconds) for job in jobs * 2
    )


def simulated_starts(
    hosts: list[Host], jobs: list[Job], policy: Policy, promises: tuple[Promise, ...] = ()
) -> dict[int, float]:
    """Run one simulated future; returns ID → start."""
    shapes = [waiting(f"s{job.id}", job.demand, job.id, owner=job.owner) for job in jobs]
    snapshot = snapshot_of(
        hosts, shapes, 0.0, policy=policy, history=learnt(jobs), promises=promises
    )
    future = Scene(snapshot, line_of(shapes), {}).future(1)
    assert run_all(future.steps(frozenset(range(len(jobs)))))
    return {jobs[target].id: start for target, start in future.starts.items()}


@pytest.mark.parametrize(
    "policy",
    [
        Policy(patience=0.0),
        Policy(patience=None),
        Policy(patience=150.0),
        Policy(strict_order=True),
        Policy(patience=0.0, expected_default=1000.0),
        Policy(patience=0.0, expected_default=50.0),
    ],
    ids=["patience 0", "best effort", "patience 150", "strict order", "said 1000", "outlived"],
)
@pytest.mark.parametrize("seed", range(6))
def test_jobs_start_when_the_planner_starts_them(
    policy: Policy, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On hosts of one CPU, with holding times that are known, every start is the same."""
    monkeypatch.setattr(holding_draws, "SURPRISE", 0.0)
    monkeypatch.setattr(holding_draws, "DOUBT", 0.0)
    hosts = [host(f"h{number}", {"VCPU": 1}) for number in range(12)]
    jobs = line(seed, 60, 9)
    cluster = Cluster(hosts, policy, learnt(jobs))
    cluster.run(jobs)
    assert simulated_starts(hosts, jobs, policy) == cluster.starts


@pytest.mark.parametrize(("times", "until"), [(1, 500), (1, 0), (2, 300), (4, 700)])
@pytest.mark.parametrize("seed", range(6))
def test_hosts_kept_for_a_late_job_are_kept_in_a_future_too(
    times: int, until: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job starts when the planner starts it, whether all hosts are closed to those behind a
    late job, or open once it was late by far, or by twice or four times as much, `until` s later.
    """
    monkeypatch.setattr(holding_draws, "SURPRISE", 0.0)
    monkeypatch.setattr(holding_draws, "DOUBT", 0.0)
    hosts = [host(f"h{number}", {"VCPU": 1}) for number in range(12)]
    jobs = line(seed, 60, 9)
    jobs[0] = replace(jobs[0], seconds=SECONDS["slow"], owner="slow")
    gang = jobs[1] = replace(jobs[1], demand=demand(*[instance(VCPU=1)] * 12))
    start = until - times * (promising.LATE_FACTOR + promising.LATE_MEANS * learnt(jobs).mean)
    names = frozenset(host.name for host in hosts)
    promises = (Promise(gang.id, name_of(gang.id), start, start - 1, names),)
    starts = simulated_starts(hosts, jobs, Policy(patience=0.0), promises)
    cluster = Cluster(hosts, Policy(patience=0.0), learnt(jobs), promises)
    monkeypatch.setattr(HoldingTimes, "add", lambda *_: None)  # the mean stays, as in the future
    cluster.run(jobs)
    assert starts == cluster.starts


def test_a_whole_host_waits_for_fragments() -> None:
    """An instance as large as a host does not start on what two hosts have free together."""
    hosts = [
        host("h1", {"VCPU": 4}, held={"VCPU": 2}),
        host("h2", {"VCPU": 4}, held={"VCPU": 2}),
    ]
    shapes = [
        waiting("big", demand(instance(VCPU=4)), 1),
        waiting("small", demand(instance(VCPU=2)), 2),
    ]
    snapshot = snapshot_of(hosts, shapes, history=HoldingTimes([Observation("lab", "", 0, 9.0)]))
    future = Scene(snapshot, line_of(shapes), {}).future(1)
    run_all(future.steps(frozenset({0, 1})))
    assert future.starts == {1: 0.0}


def test_hosts_that_come_free_last_are_reserved_first() -> None:
    """What is free on a host that a reservation does not need stays usable by long jobs."""
    ended = [Observation("lab", "", size, 1000.0) for size in (-1, 1) for _ in range(3)]
    hosts = [host("h1", {"VCPU": 4}, held={"VCPU": 2})]
    hosts += [host(name, {"VCPU": 4}, held={"VCPU": 4}) for name in ("h2", "h3")]
    shapes = [
        waiting("wide", demand(instance(VCPU=4), instance(VCPU=4)), 1),
        waiting("small", demand(instance(VCPU=2)), 2),
    ]
    snapshot = snapshot_of(
        hosts,
        shapes,
        policy=Policy(patience=0.0),
        history=HoldingTimes(ended),
        holds=(hold("x", 1010.0, h1=2), hold("y", 1020.0, h2=4), hold("z", 1020.0, h3=4)),
    )
    future = Scene(snapshot, line_of(shapes), {}).future(1)
    run_all(future.steps(frozenset({1})))
    assert future.starts == {1: 0.0}


@pytest.mark.parametrize(("hosts", "is_passed"), [(4, False), (5, True)])
def test_before_a_wide_job_only_what_surely_ends_goes_ahead(hosts: int, is_passed: bool) -> None:
    """As in the planner, the longest of five holds decides before a job of half of the hosts."""
    ended = [Observation("lab", "", 0, seconds) for seconds in (300.0, 10.0, 10.0, 10.0, 10.0)]
    busy = [host(f"b{number}", {"VCPU": 1}, held={"VCPU": 1}) for number in range(hosts - 1)]
    shapes = [
        waiting("wide", demand(instance(VCPU=1), instance(VCPU=1)), 1),
        waiting("small", demand(instance(VCPU=1)), 2),
    ]
    snapshot = snapshot_of(
        [host("free", {"VCPU": 1}), *busy],
        shapes,
        policy=Policy(patience=0.0),
        history=HoldingTimes(ended),
        holds=(hold("x", 1100.0, b0=1),),
    )
    future = Scene(snapshot, line_of(shapes), {}).future(1)
    run_all(future.steps(frozenset({0, 1})))
    assert (future.starts[1] == 0.0) is is_passed


def test_a_job_passed_long_ago_is_passed_by_sure_ends_only() -> None:
    """From ten mean holds after a job was first passed the strict span decides, not the usual."""
    ended = [Observation("lab", "", 0, seconds) for seconds in [150.0] * 3 + [10.0] * 17]
    hosts = [host("h1", {"VCPU": 1}, held={"VCPU": 1}), host("h2", {"VCPU": 1})]
    shapes = [
        waiting("wide", demand(instance(VCPU=1), instance(VCPU=1)), 1),
        waiting("small", demand(instance(VCPU=1)), 2),
    ]
    starts, mean = [], HoldingTimes(ended).mean
    for waited in (10 * mean - 0.001, 10 * mean):
        snapshot = snapshot_of(
            hosts,
            shapes,
            policy=Policy(patience=0.0),
            history=HoldingTimes(ended),
            holds=(hold("x", 1100.0, h1=1),),
            passed={"r1": 1000.0 - waited},
        )
        future = Scene(snapshot, line_of(shapes, snapshot.passed), {}).future(1)
        run_all(future.steps(frozenset({0, 1})))
        starts.append(future.starts[1] == 0.0)
    assert starts == [True, False]
