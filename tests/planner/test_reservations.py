"""Reservations in time, over whole runs: what is promised is kept, and nobody starves."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.policy import Policy
from tests.planner.clusters import Cluster, Job
from tests.planner.oracle import SEEDS, demand, host, instance, random_demand, random_hosts


@settings(max_examples=500)
@given(SEEDS)
def test_with_perfect_ends_no_head_starts_later_than_first_promised(seed: int) -> None:
    """If all clients say how long, gangs of several resources and kinds start as promised."""
    rng = Random(seed)
    hosts = [replace(place, held={}) for place in random_hosts(rng, rng.randint(1, 5))]
    arrivals = sorted(float(rng.randint(0, 50)) for _ in range(24))
    jobs = [
        Job(id_, arrives, float(rng.randint(1, 60)), random_demand(rng), "lab", says=True)
        for id_, arrives in enumerate(arrivals, 1)
    ]
    cluster = Cluster(hosts, Policy(patience=0.0), HoldingTimes())
    cluster.run(jobs)
    late = {
        id_: (promise, cluster.starts.get(id_))
        for id_, promise in cluster.first_promises.items()
        if cluster.starts.get(id_, float("inf")) > promise.start
    }
    assert not late


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_a_stream_that_outlives_its_predictions_cannot_starve_a_gang(patience: float) -> None:
    """Jobs that always hold longer than their owners did before delay it for a bounded time."""
    rng, hosts = Random(1), [host(f"h{n}", {"VCPU": 1}) for n in range(8)]
    one, all_of = demand(instance(VCPU=1)), demand(*[instance(VCPU=1)] * 8)
    jobs = [Job(1, 50.0, 10.0, all_of, "gang")]
    history = HoldingTimes()
    for id_ in range(2, 3000):
        owner, seconds = str(id_), float(rng.randint(60, 140))
        jobs.append(Job(id_, 12.0 * id_ - 24.0, seconds, one, owner))
        for _ in "12":
            history.add(Observation(owner, demand_key(one), -3, seconds / 10))
    cluster = Cluster(hosts, Policy(patience=patience), history)
    cluster.run(jobs)
    assert cluster.starts[1] < 50 + 60 * 100
    assert not cluster.never_started


def test_without_holds_nothing_is_reserved() -> None:
    """A job of two kinds that fit one by one, but not together, has no start time to wait for."""
    mixed = demand(instance(VCPU=3), instance(VCPU=2))
    cluster = Cluster([host("h1", {"VCPU": 4})], Policy(patience=0.0), HoldingTimes())
    cluster.run([Job(1, 0.0, 1.0, mixed, "lab")])
    assert (cluster.first_promises, cluster.never_started) == ({}, {1})
