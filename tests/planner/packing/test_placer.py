"""Where all instances of a job are placed at once."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from packing import success_rate

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.planner import could_ever_fit
from rq_broker.planner.packing.best_fit import SEARCH_STEPS
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from tests.planner.oracle import demand, host, instance, known


def placed(hosts: list[Host], wanted: Demand, steps: int = SEARCH_STEPS) -> list[str] | None:
    """Place a demand; return the host's name for each instance, or None."""
    table = HostTable(hosts)
    indexes = Placer(table, wanted).place(0, StepBudget(steps))
    return None if indexes is None else [table.names[index] for index in indexes]


def test_a_demand_of_resources_that_no_host_has_is_dropped_at_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many names that nobody knows one is looked up on the hosts, and not each."""
    indexed = list[str]()
    index_resource = HostTable._index_resource

    def index(table: HostTable, resource: str) -> tuple[list[int], list[int]]:
        indexed.append(resource)
        return index_resource(table, resource)

    monkeypatch.setattr(HostTable, "_index_resource", index)
    words = {f"word-{number:03}": 1 for number in range(125)}
    assert placed([host("a", {"VCPU": 4})], demand(instance(**words, VCPU=1))) is None
    assert indexed == ["VCPU", "word-000"]


def test_alike_instances_are_placed_whenever_brute_force_can() -> None:
    """Counting host by host is exact."""
    rate = success_rate(Random(1), 300, 1)
    assert rate.possible > 80
    assert rate.placed == rate.possible


def test_mixed_instances_are_nearly_always_placed_when_brute_force_can() -> None:
    """Best fit alone places most, and with the search all of these small cases."""
    searched = success_rate(Random(1), 300, 4)
    best_fit = success_rate(Random(1), 300, 4, steps=0)
    assert searched.placed == searched.possible > 80
    assert 0.85 * best_fit.possible < best_fit.placed < best_fit.possible


def test_single_instances_go_to_the_fullest_host_that_fits() -> None:
    """Large free ranges are kept: the empty host stays empty."""
    hosts = [host("a", {"VCPU": 8}), host("b", {"VCPU": 8}, held={"VCPU": 5})]
    assert placed(hosts, demand(instance(VCPU=3))) == ["b"]
    assert placed(hosts, demand(instance(VCPU=4))) == ["a"]


def test_a_job_that_needs_no_scarce_resource_leaves_its_host_alone() -> None:
    """All resources count as left over: a VCPU job does not go to the GPU host."""
    hosts = [host("gpu", {"VCPU": 8, "GPU": 4}), host("plain", {"VCPU": 8})]
    assert placed(hosts, demand(instance(VCPU=1))) == ["plain"]


def test_hosts_are_named_in_the_order_of_the_instances() -> None:
    """Mixed gangs are packed largest first, but answered in the order of the demand."""
    hosts = [host("small", {"VCPU": 2}), host("large", {"VCPU": 9})]
    assert placed(hosts, demand(instance(VCPU=2), instance(VCPU=9))) == ["small", "large"]


def test_spread_uses_a_host_once_and_sharing_is_allowed_otherwise() -> None:
    """With `spread` no two instances share a host; without it one host may hold them all."""
    hosts = [host("a", {"VCPU": 8}), host("b", {"VCPU": 8})]
    two = (instance(VCPU=2), instance(VCPU=2))
    assert len(set(placed(hosts, Demand(two)) or ())) == 1
    assert len(set(placed(hosts, Demand(two, spread=True)) or ())) == 2
    assert placed(hosts, Demand((*two, instance(VCPU=1)), spread=True)) is None


def test_the_search_stops_with_its_budget() -> None:
    """A case that best fit misses is placed while steps are left, and given up without."""
    hosts = [host("a", {"VCPU": 10}), host("b", {"VCPU": 11})]
    wanted = demand(*[instance(VCPU=n) for n in (5, 4, 4, 3, 3, 2)])
    assert placed(hosts, wanted) is not None
    assert placed(hosts, wanted, steps=0) is None


def test_a_host_changed_without_effect_is_not_counted_twice_for_a_gang() -> None:
    """Grants that leave a host as full as before do not make it look like two hosts."""
    hosts = [host("a", {"VCPU": 8}, "x"), host("b", {"VCPU": 1}), host("c", {"VCPU": 1})]
    table, no_steps = HostTable(hosts), StepBudget(0)
    nothing = Placer(table, demand(instance(), aggregate="x"))
    pair = Placer(table, Demand((instance(VCPU=1),) * 2, spread=True))
    for fits in (True, False):
        assert nothing.place(0, no_steps) is not None
        assert (pair.place(0, no_steps) is not None) is fits


@pytest.mark.parametrize("sizes", [(3, 3, 3), (3, 2, 4)])
def test_a_gang_takes_nothing_when_it_does_not_fit_whole(sizes: tuple[int, ...]) -> None:
    """After a failed gang the table is as it was."""
    table = HostTable([host("a", {"VCPU": 4}), host("b", {"VCPU": 4})])
    wanted = demand(*(instance(VCPU=size) for size in sizes))
    assert Placer(table, wanted).place(0, StepBudget(0)) is None
    assert table.rows == [{"VCPU": 4}, {"VCPU": 4}]


# max_unit


def limited(name: str, max_unit: dict[str, int], **capacity: int) -> Host:
    return replace(host(name, capacity), max_unit=max_unit)


def test_no_instance_is_larger_than_a_host_lets_one_be() -> None:
    """Alike or mixed, by best fit or by search: `max_unit` binds whatever is free."""
    small, large = limited("small", {"VCPU": 2}, VCPU=8), limited("large", {}, VCPU=4)
    both = [small, large]
    assert placed(both, demand(instance(VCPU=3))) == ["large"]
    assert placed(both, demand(instance(VCPU=2), instance(VCPU=3))) == ["small", "large"]
    assert placed(both, demand(*[instance(VCPU=3)] * 4)) is None
    assert placed(both, demand(*[instance(VCPU=2)] * 3)) == ["large", "large", "small"]
    twins = [limited("a", {"VCPU": 2}, VCPU=4), limited("b", {}, VCPU=4)]
    mixed = demand(instance(VCPU=4), instance(VCPU=1), instance(VCPU=2))
    assert placed(twins, mixed) == ["b", "a", "a"]
    assert placed([small], demand(instance(VCPU=3), instance(VCPU=1))) is None


def test_the_reason_names_the_most_one_instance_may_have() -> None:
    """A demand for more than any host lets one instance have is impossible, and said to be."""
    hosts = {"small": limited("small", {"VCPU": 2}, VCPU=8)}
    reason = known(could_ever_fit(hosts, demand(instance(VCPU=3))))
    assert reason.text.endswith("needs VCPU 3 on one host; the largest is 2 on small")
    assert could_ever_fit(hosts, demand(*[instance(VCPU=2)] * 4)) is None
    assert could_ever_fit(hosts, demand(*[instance(VCPU=2)] * 5)) is not None
