"""Who else will come: as many as end, wanting what those now holding have."""

from itertools import islice
from random import Random

import pytest

from rq_broker.domain.jobs import Demand
from rq_broker.domain.policy import Policy
from rq_broker.planner.forecasting.arrivals import MAX_ARRIVALS, ArrivalModel, Hold
from tests.planner.oracle import demand, host, need, waiting, world

HOSTS = [
    host("g1", {"VCPU": 8}, "gpu", "rack"),
    host("g2", {"VCPU": 8}, "gpu"),
    host("h1", {"VCPU": 8}),
]


def wants(*holds):
    """What those who come want, when these hold."""
    crowd = ArrivalModel(world(HOSTS, ()), [Hold(each, 0.0, "lab") for each in holds], [10.0])
    return {each.shape.demand for each in islice(crowd.draw(Random(1)), 50)}


def test_as_many_come_as_end():
    """Eight that hold for 100 s on average are followed by one more every 12.5 s."""
    running = [Hold({"h1": {"VCPU": 1}}, 0.0)] * 8
    crowd = ArrivalModel(world(HOSTS, ()), running, [50.0, 150.0])
    found = list(crowd.draw(Random(1)))
    assert len(found) == MAX_ARRIVALS
    assert found[-1].seconds / MAX_ARRIVALS == pytest.approx(12.5, rel=0.05)
    assert [each.seconds for each in found] == sorted(each.seconds for each in found)
    assert {each.holding_time for each in found} == {50.0, 150.0}


def test_nobody_comes_where_nobody_is():
    """Without a hold there is nothing to go by."""
    assert list(ArrivalModel(world(HOSTS, ()), [], [10.0]).draw(Random(1))) == []


def test_they_want_what_is_held_on_hosts_of_the_same_aggregate():
    """An instance a host, in the widest aggregate that all its hosts share; any host if none."""
    gang = {"g1": {"VCPU": 2}, "g2": {"VCPU": 3}}
    assert wants(gang) == {demand(need(VCPU=2), need(VCPU=3), aggregate="gpu")}
    assert wants({"g1": {"VCPU": 2}}) == {demand(need(VCPU=2), aggregate="gpu")}
    assert wants({"h1": {"VCPU": 2}}) == {Demand((need(VCPU=2),))}
    assert wants({**gang, "h1": {"VCPU": 1}}, {"gone": {"VCPU": 1}}) == {
        demand(need(VCPU=2), need(VCPU=3), need(VCPU=1)),
        demand(need(VCPU=1)),
    }


def test_owners_are_told_apart_only_where_they_count():
    """Without shares and limits one shape serves all owners, which keeps a pass short."""
    running = [Hold({"h1": {"VCPU": 1}}, 0.0, f"o{n}") for n in range(1000)]
    shapes = {}
    for policy in (Policy(), Policy(share="owner"), Policy(limits={"*": {"VCPU": 9}})):
        crowd = ArrivalModel(world(HOSTS, (), policy=policy), running, [10.0])
        shapes[policy.share, bool(policy.limits)] = {each.digest for each in crowd.draw(Random(1))}
    assert [len(found) for found in shapes.values()] == [1, 250, 250]


def test_they_stand_behind_everybody_and_behind_each_other():
    """Their priority is beyond the last that waits, their IDs beyond every real one, and grow."""
    line = [waiting("a", demand(need(VCPU=1)), 1, 7)]
    crowd = ArrivalModel(world(HOSTS, line), [Hold({"h1": {"VCPU": 1}}, 0.0)], [1.0])
    heads = [each.head for each in islice(crowd.draw(Random(1)), 5)]
    assert {head.priority for head in heads} == {8}
    assert [head.id for head in heads] == sorted({head.id for head in heads})


def test_the_same_random_numbers_bring_the_same_jobs():
    """Arrivals do not depend on what the planner does meanwhile."""
    crowd = ArrivalModel(world(HOSTS, ()), [Hold({"h1": {"VCPU": 1}}, 0.0)], [1.0, 2.0])
    assert list(crowd.draw(Random(3))) == list(crowd.draw(Random(3)))
