"""The jobs a forecast imagines to arrive: as many as end, needing what is held now."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from random import Random

import pytest

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.jobs import Demand
from rq_broker.domain.policy import Policy
from rq_broker.planner.forecasting.arrivals import MAX_ARRIVALS, ArrivalModel, Hold
from tests.planner.oracle import demand, host, instance, snapshot_of, waiting

HOSTS = [
    host("g1", {"VCPU": 8}, "gpu", "rack"),
    host("g2", {"VCPU": 8}, "gpu"),
    host("h1", {"VCPU": 8}),
]
ONE_VCPU = {"h1": {"VCPU": 1}}


def arriving_demands(*held: Mapping[str, Amounts]) -> set[Demand]:
    """Return what arriving jobs need while jobs hold these amounts."""
    holds = [Hold(amounts, 0.0, "lab") for amounts in held]
    model = ArrivalModel(snapshot_of(HOSTS, ()), holds, [10.0])
    return {arrival.shape.demand for arrival in islice(model.draw(Random(1)), 50)}


def test_as_many_jobs_arrive_as_end() -> None:
    """Eight jobs that hold for 100 s on average are followed by one more every 12.5 s."""
    model = ArrivalModel(snapshot_of(HOSTS, ()), [Hold(ONE_VCPU, 0.0)] * 8, [50.0, 150.0])
    arrivals = list(model.draw(Random(1)))
    assert len(arrivals) == MAX_ARRIVALS
    assert arrivals[-1].seconds / MAX_ARRIVALS == pytest.approx(12.5, rel=0.05)
    times = [arrival.seconds for arrival in arrivals]
    assert times == sorted(times)
    assert {arrival.holding_time for arrival in arrivals} == {50.0, 150.0}


def test_no_job_arrives_where_none_holds_anything() -> None:
    """Without a hold there is nothing to copy."""
    assert list(ArrivalModel(snapshot_of(HOSTS, ()), [], [10.0]).draw(Random(1))) == []


def test_arriving_jobs_need_what_is_held_on_hosts_of_the_same_aggregate() -> None:
    """One instance a host, in the largest aggregate that its hosts share; any host if none."""
    gang = {"g1": {"VCPU": 2}, "g2": {"VCPU": 3}}
    two, three, one = instance(VCPU=2), instance(VCPU=3), instance(VCPU=1)
    assert arriving_demands(gang) == {demand(two, three, aggregate="gpu")}
    assert arriving_demands({"g1": {"VCPU": 2}}) == {demand(two, aggregate="gpu")}
    assert arriving_demands({"h1": {"VCPU": 2}}) == {demand(two)}
    assert arriving_demands({**gang, **ONE_VCPU}, {"gone": {"VCPU": 1}}) == {
        demand(two, three, one),
        demand(one),
    }


def test_owners_are_distinguished_only_where_they_matter() -> None:
    """Without shares and limits one shape serves all owners, which keeps a pass short."""
    holds = [Hold(ONE_VCPU, 0.0, f"o{n}") for n in range(1000)]
    counts = []
    for policy in (Policy(), Policy(share="owner"), Policy(limits={"*": {"VCPU": 9}})):
        model = ArrivalModel(snapshot_of(HOSTS, (), policy=policy), holds, [10.0])
        counts.append(len({arrival.digest for arrival in model.draw(Random(1))}))
    assert counts == [1, 250, 250]


def test_arriving_jobs_stand_behind_all_others_and_behind_each_other() -> None:
    """Their priority is beyond the last that waits, their IDs beyond every real one, and grow."""
    shapes = [waiting("a", demand(instance(VCPU=1)), 1, 7)]
    model = ArrivalModel(snapshot_of(HOSTS, shapes), [Hold(ONE_VCPU, 0.0)], [1.0])
    heads = [arrival.head for arrival in islice(model.draw(Random(1)), 5)]
    assert {head.priority for head in heads} == {8}
    assert [head.id for head in heads] == sorted({head.id for head in heads})


def test_the_same_random_numbers_give_the_same_arrivals() -> None:
    """Arrivals do not depend on what the planner does meanwhile."""
    model = ArrivalModel(snapshot_of(HOSTS, ()), [Hold(ONE_VCPU, 0.0)], [1.0, 2.0])
    assert list(model.draw(Random(3))) == list(model.draw(Random(3)))
