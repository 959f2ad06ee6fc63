"""What is free in a simulated future: placing, releasing, and hosts merged into one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from rq_broker.planner.forecasting.hosts import SimulatedHosts
from rq_broker.planner.forecasting.room import Need, Room
from tests.planner.oracle import demand, host, instance

BOTH = frozenset({0, 1})


def need(
    amount: int, instances: int = 1, *, spread: bool = False, groups: frozenset[int] = BOTH
) -> Need:
    """Build instances of one resource."""
    return Need(((0, amount),), (amount,), instances, groups, spread)


def room(*free: int, groups: list[int] | None = None, sizes: list[int] | None = None) -> Room:
    """Build a room of hosts that have so much of one resource free."""
    count = len(free)
    return Room([(amount,) for amount in free], groups or [0] * count, sizes or [1] * count, [1.0])


def test_the_fullest_host_that_fits_is_taken() -> None:
    """An instance goes where least is left over, and a host takes several."""
    hosts = room(5, 3, 8)
    assert hosts.place([need(3)], 1) == (1, [(1, (3,))])
    assert hosts.place([need(2, 4)], 1) == (1, [(0, (4,)), (2, (4,))])
    assert hosts.rows() == [(1,), (0,), (4,)]


def test_as_many_jobs_are_placed_as_fit() -> None:
    """Of five jobs of two instances three fit on seven places, and nothing is half placed."""
    hosts = room(4, 3)
    jobs, placement = hosts.place([need(1, 2)], 5)
    assert jobs == 3
    assert sum(amounts[0] for _, amounts in placement) == 6
    assert hosts.place([need(1, 2)], 1) == (0, [])
    hosts.give(placement)
    assert hosts.rows() == [(4,), (3,)]


def test_different_instances_are_placed_together_or_not_at_all() -> None:
    """Where the second kind does not fit beside the first, both are given back."""
    hosts = room(4, 1)
    assert hosts.place([need(3), need(2)], 1) == (0, [])
    assert hosts.rows() == [(4,), (1,)]
    assert hosts.place([need(3), need(1, 2)], 1)[0] == 1


def test_groups_and_spread_bound_where_instances_go() -> None:
    """Only hosts of the need's groups count; under spread one instance a host."""
    hosts = room(4, 4, 4, groups=[0, 1, 1])
    assert hosts.count(need(1, groups=frozenset({1})), 99) == 8
    assert hosts.count(need(1, spread=True), 99) == 3
    assert hosts.place([need(1, 3, spread=True)], 1)[0] == 1
    merged = room(12, sizes=[3])
    assert merged.count(need(1, spread=True), 99) == 3


def test_a_copy_changes_on_its_own() -> None:
    """After any changes of a copy the original is as it was, and levels stay sorted."""
    rng, original = Random(1), room(*range(10))
    copy, taken = original.copy(), list[tuple[int, tuple[int, ...]]]()
    for _ in range(300):
        if rng.random() < 0.5 and taken:
            copy.give([taken.pop(rng.randrange(len(taken)))])
        else:
            taken += copy.place([need(rng.randint(1, 4))], 1)[1]
        rows = [copy.row(index)[0] for index in copy.hosts_for(need(3))]
        assert rows == sorted(amount for (amount,) in copy.rows() if amount >= 3)
    assert original.rows() == [(amount,) for amount in range(10)]


def test_hosts_are_merged_where_it_makes_no_difference_or_is_asked_for() -> None:
    """With one instance alone for all jobs the hosts of a group are one; with two they are not."""
    hosts = [host(f"h{n}", {"VCPU": 2}, *(["gpu"] if n == 2 else [])) for n in range(3)]
    one, two = demand(instance(VCPU=1)), demand(instance(VCPU=2), aggregate="gpu")
    assert SimulatedHosts(hosts, [one], merged=False).room.rows() == [(6,)]
    assert SimulatedHosts(hosts, [one, two], merged=False).room.rows() == [(2,)] * 3
    merged = SimulatedHosts(hosts, [one, two], merged=True)
    assert merged.room.rows() == [(4,), (2,)]
    assert [len(need.groups) for need in (*merged.needs(one), *merged.needs(two))] == [2, 1]
    assert merged.placement({"h0": {"VCPU": 1}, "h1": {"VCPU": 1}, "gone": {"VCPU": 1}}) == [
        (0, (2,))
    ]


def test_a_host_takes_no_instance_beyond_its_capacity_or_max_unit() -> None:
    """Hosts that could never hold an instance are none of its groups."""
    small = host("small", {"VCPU": 2})
    hosts = SimulatedHosts(
        [small, host("large", {"VCPU": 8})], [demand(instance(VCPU=4))], merged=True
    )
    (wanted,) = hosts.needs(demand(instance(VCPU=4)))
    assert hosts.room.rows() == [(2,), (8,)]
    assert wanted.groups == frozenset({1})


def test_a_host_takes_no_instance_below_its_min_unit_or_between_its_steps() -> None:
    """A forecast counts on those hosts only that give the amount, as the admission pass does."""
    amounts = [1, 4, 6]
    hosts = SimulatedHosts(
        [
            host("any", {"VCPU": 8}),
            replace(host("from 4", {"VCPU": 8}), min_unit={"VCPU": 4}),
            replace(host("by 4", {"VCPU": 8}), step_size={"VCPU": 4}),
        ],
        [demand(instance(VCPU=amount)) for amount in amounts],
        merged=False,
    )
    groups = [hosts.needs(demand(instance(VCPU=amount)))[0].groups for amount in amounts]
    assert groups == [{0}, {0, 1, 2}, {0, 1}]


def test_hosts_with_devices_are_never_merged() -> None:
    """Two devices of 1,000 hold two instances of 600 on each of two hosts, and their sums six."""
    wanted, plain = demand(instance(GPU=600)), demand(instance(VCPU=1))
    with_devices = [
        replace(host(f"g{n}", {"GPU": 2000}), devices={"GPU": [1000] * 2}) for n in "12"
    ]
    others = [host("v1", {"VCPU": 2}), host("v2", {"VCPU": 2})]
    hosts = SimulatedHosts([*with_devices, *others], [wanted, plain], merged=True)
    assert hosts.room.place(hosts.needs(wanted), 9)[0] == 4
    assert [hosts.room.size(number) for number in range(3)] == [1, 1, 2]
