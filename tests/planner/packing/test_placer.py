"""Where all instances of a job go at once."""

from dataclasses import replace
from random import Random

from packing import rate

from rq_broker.domain.jobs import Demand
from rq_broker.planner import could_ever_fit
from rq_broker.planner.packing.best_fit import SEARCH_STEPS
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from tests.planner.oracle import demand, host, need


def placed(hosts, wants, steps=SEARCH_STEPS):
    board = HostTable(hosts)
    bits = Placer(board, wants).place(0, StepBudget(steps))
    return None if bits is None else [board.names[bit] for bit in bits]


def test_alike_instances_are_placed_whenever_brute_force_can():
    """Counting host by host is exact."""
    got = rate(Random(1), 300, 1)
    assert got.possible > 80
    assert got.found == got.possible


def test_mixed_instances_are_nearly_always_placed_when_brute_force_can():
    """Best fit alone finds most, with the search all of these small cases."""
    got, alone = rate(Random(1), 300, 4), rate(Random(1), 300, 4, steps=0)
    assert got.found == got.possible > 80
    assert 0.85 * alone.possible < alone.found < alone.possible


def test_single_instances_go_to_the_fullest_host_that_fits():
    """Large holes are kept: the empty host stays empty."""
    hosts = [host("a", {"VCPU": 8}), host("b", {"VCPU": 8}, held={"VCPU": 5})]
    assert placed(hosts, demand(need(VCPU=3))) == ["b"]
    assert placed(hosts, demand(need(VCPU=4))) == ["a"]


def test_a_job_without_need_of_a_scarce_resource_leaves_its_host_alone():
    """All resources count as left over: a VCPU job does not go to the GPU host."""
    hosts = [host("gpu", {"VCPU": 8, "GPU": 4}), host("plain", {"VCPU": 8})]
    assert placed(hosts, demand(need(VCPU=1))) == ["plain"]


def test_hosts_are_named_in_the_order_of_the_instances():
    """Mixed gangs are packed largest first, but answered as they were asked."""
    hosts = [host("small", {"VCPU": 2}), host("large", {"VCPU": 9})]
    assert placed(hosts, demand(need(VCPU=2), need(VCPU=9))) == ["small", "large"]


def test_spread_uses_a_host_once_and_sharing_is_allowed_otherwise():
    """spread is one instance a host; without it one host may hold them all."""
    hosts = [host("a", {"VCPU": 8}), host("b", {"VCPU": 8})]
    two = (need(VCPU=2), need(VCPU=2))
    assert len(set(placed(hosts, Demand(two)))) == 1
    assert len(set(placed(hosts, Demand(two, spread=True)))) == 2
    assert placed(hosts, Demand((*two, need(VCPU=1)), spread=True)) is None


def test_the_search_stops_with_its_budget():
    """A case best fit misses is found with steps to spare, and given up without."""
    hosts = [host("a", {"VCPU": 10}), host("b", {"VCPU": 11})]
    wants = demand(*[need(VCPU=n) for n in (5, 4, 4, 3, 3, 2)])
    assert placed(hosts, wants) is not None
    assert placed(hosts, wants, steps=0) is None


def test_a_host_touched_without_effect_is_not_counted_twice_for_a_gang():
    """Grants that leave a host as full as before do not make it look like two hosts."""
    hosts = [host("a", {"VCPU": 8}, "x"), host("b", {"VCPU": 1}), host("c", {"VCPU": 1})]
    board = HostTable(hosts)
    nothing = Placer(board, demand(need(), aggregate="x"))
    pair = Placer(board, Demand((need(VCPU=1),) * 2, spread=True))
    for placed_again in (True, False):
        assert nothing.place(0, StepBudget(0)) is not None
        assert (pair.place(0, StepBudget(0)) is not None) is placed_again


def test_a_gang_takes_nothing_when_it_does_not_fit_whole():
    """After a failed gang the board is as it was."""
    for parts in ((need(VCPU=3),) * 3, (need(VCPU=3), need(VCPU=2), need(VCPU=4))):
        board = HostTable([host("a", {"VCPU": 4}), host("b", {"VCPU": 4})])
        assert Placer(board, Demand(parts)).place(0, StepBudget(0)) is None
        assert board.rows == [{"VCPU": 4}, {"VCPU": 4}]


def limited(name, most, **capacity):
    return replace(host(name, capacity), max_unit=most)


def test_no_instance_is_larger_than_a_host_lets_one_be():
    """Alike or mixed, found by best fit or by search: `max_unit` binds whatever is free."""
    small, large = limited("small", {"VCPU": 2}, VCPU=8), limited("large", {}, VCPU=4)
    assert placed([small, large], demand(need(VCPU=3))) == ["large"]
    assert placed([small, large], demand(need(VCPU=2), need(VCPU=3))) == ["small", "large"]
    assert placed([small, large], demand(*[need(VCPU=3)] * 4)) is None
    assert placed([small, large], demand(*[need(VCPU=2)] * 3)) == ["large", "large", "small"]
    twins = [limited("a", {"VCPU": 2}, VCPU=4), limited("b", {}, VCPU=4)]
    mixed = demand(need(VCPU=4), need(VCPU=1), need(VCPU=2))
    assert placed(twins, mixed) == ["b", "a", "a"]
    assert placed([small], demand(need(VCPU=3), need(VCPU=1))) is None


def test_the_reason_tells_the_most_one_instance_may_have():
    """Waiting for more than any host lets one instance have is impossible, and said to be."""
    hosts = {"small": limited("small", {"VCPU": 2}, VCPU=8)}
    said = could_ever_fit(hosts, demand(need(VCPU=3)))
    assert said is not None
    assert said.text.endswith("needs VCPU 3 on one host; the largest is 2 on small")
    assert could_ever_fit(hosts, demand(*[need(VCPU=2)] * 4)) is None
    assert could_ever_fit(hosts, demand(*[need(VCPU=2)] * 5)) is not None
