"""Reservations in time, over whole runs: what is promised is kept, and nobody starves."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.policy import Policy
from rq_broker.planner.promising import LATE_FACTOR, LATE_MEANS
from tests.planner.clusters import Cluster, Job
from tests.planner.oracle import SEEDS, demand, host, instance, random_demand, random_hosts


@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_with_perfect_ends_no_head_starts_later_than_first_promised(seed: int) -> None:
    """If all clients say how long, gangs of several resources and kinds start as promised."""
    rng = Random(seed)
    hosts = [
        replace(place, held={}, device_held={}) for place in random_hosts(rng, rng.randint(1, 5))
    ]
    arrivals = sorted(float(rng.randint(0, 50)) for _ in range(24))
    jobs = []
    for id_, arrives in enumerate(arrivals, 1):
        seconds = rng.randint(1, 60)
        jobs.append(Job(id_, arrives, float(seconds), random_demand(rng), "lab", seconds))
    cluster = Cluster(hosts, Policy(patience=0.0), HoldingTimes())
    cluster.run(jobs)
    late = {
        id_: (promise, cluster.starts.get(id_))
        for id_, promise in cluster.first_promises.items()
        if cluster.starts.get(id_, float("inf")) > promise.start
    }
    assert not late


ONE, ALL = demand(instance(VCPU=1)), demand(*[instance(VCPU=1)] * 8)
MEAN = 100
"""Seconds that jobs of a stream hold, on average."""


def stream(says: int | None) -> list[Job]:
    """Draw jobs of one VCPU that keep 8 hosts busy for ever, each of an owner of its own."""
    rng = Random(1)
    return [
        Job(id_, 13.0 * (id_ - 2), float(rng.randint(60, 140)), ONE, str(id_), says)
        for id_ in range(2, 700)
    ]


@pytest.mark.parametrize("patience", [0.0, 60.0])
@pytest.mark.parametrize("lies", [True, False])
def test_a_stream_that_outlives_its_predictions_cannot_starve_a_gang(
    patience: float, lies: bool
) -> None:
    """Whether the past of its owners or their words mislead, the gang's wait is bounded."""
    jobs = stream(MEAN // 20 if lies else None)
    history = HoldingTimes(
        Observation(job.owner, demand_key(ONE), -3, job.seconds / 10)
        for job in ([] if lies else jobs)
        for _ in "12"
    )
    gang = Job(1, 50.0, 10.0, ALL, "gang")
    cluster = Cluster(
        [host(f"h{n}", {"VCPU": 1}) for n in range(8)], Policy(patience=patience), history
    )
    cluster.run([gang, *jobs])
    assert cluster.starts[1] - gang.arrives < 64 * MEAN
    assert not cluster.never_started


OPENS_AGAIN = 74
"""Seed of a gang whose hosts open at the first lateness and at its doublings."""
QUICK = [Observation("quick", "", 0, 1.0)] * 10_000
"""A past that keeps the mean holding time small, and so the lateness that opens kept hosts."""


def late_gang(rng: Random) -> tuple[Cluster, float, float, float]:
    """Let a gang of all hosts wait while jobs come for ever that hold up to 1,000 times as long as
    their owners' jobs before.

    Returns: the cluster, the gang's lateness, that which opens its hosts first, the longest hold.
    """
    count, most = rng.randint(2, 4), rng.choice((300.0, 1000.0, 3000.0))
    gap, least = most * rng.choice((0.1, 0.2, 0.4, 0.7)), rng.choice((0.3, 0.9, 1.0))
    jobs = [
        Job(id_, max(id_ - count - 1, 0) * gap, most * rng.uniform(least, 1.0), ONE, str(id_))
        for id_ in range(2, int(10 * most / gap))
    ]
    history = HoldingTimes(
        QUICK + [Observation(job.owner, demand_key(ONE), 0, 1.0) for job in jobs for _ in "12"]
    )
    hosts = [host(f"h{n}", {"VCPU": 1}) for n in range(count)]
    cluster = Cluster(hosts, Policy(patience=0.0), history)
    cluster.run([Job(1, 1.0, 10.0, demand(*[instance(VCPU=1)] * count), "gang"), *jobs])
    promise = cluster.first_promises[1]
    first = LATE_FACTOR * (promise.start - promise.made) + LATE_MEANS * history.mean
    return cluster, cluster.starts[1] - promise.start, first, most


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_hosts_kept_for_a_late_gang_open_again_without_starving_it(seed: int) -> None:
    """A lateness of twice the longest hold outlasts what was there when the hosts opened last, and
    what went ahead meanwhile: so the gang starts before its lateness doubles once more."""
    _, late, first, longest = late_gang(Random(seed))
    assert late <= max(first, 4 * longest) + 2 * longest


def test_kept_hosts_open_again_after_the_second_doubling_of_the_lateness() -> None:
    """Each opening delays a gang by twice the longest hold at most; one waits for longer than the
    first opening and the doubling after it could have delayed it."""
    _, late, first, longest = late_gang(Random(OPENS_AGAIN))
    assert 2 * first + 2 * longest < late <= 6 * longest


def test_without_holds_nothing_is_reserved() -> None:
    """A job of two kinds that fit one by one, but not together, has no start time to wait for."""
    mixed = demand(instance(VCPU=3), instance(VCPU=2))
    cluster = Cluster([host("h1", {"VCPU": 4})], Policy(patience=0.0), HoldingTimes())
    cluster.run([Job(1, 0.0, 1.0, mixed, "lab")])
    assert (cluster.first_promises, cluster.never_started) == ({}, {1})
