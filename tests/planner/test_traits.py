"""Traits, aggregates of which any will do, and hosts that are anywhere: grants and reasons."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.planner import ReasonCode, explain, forecast_line, plan
from tests.planner.forecasting.lines import history, line_of
from tests.planner.oracle import demand, hold, host, instance, snapshot_of, traited, waiting

FOUR = instance(VCPU=4)
LICENCE = instance(matlab=1)


def hosts_of(hosts: list[Host], wanted: Demand, **fields: Any) -> tuple[str, ...]:
    """Return the hosts that the only job is granted, none if it waits."""
    grants = plan(snapshot_of(hosts, [waiting("a", wanted, 1)], **fields)).grants
    return grants[0].hosts if grants else ()


def text_of(hosts: list[Host], wanted: Demand) -> str:
    """Return the reason for which the only job waits."""
    return plan(snapshot_of(hosts, [waiting("a", wanted, 1)])).reasons["a"].text


def licences(free: int, **fields: Any) -> Host:
    """Build the licences of a type: five in all."""
    return host("licences", {"matlab": 5}, used={"matlab": 5 - free}, anywhere=True, **fields)


def test_a_host_must_have_all_that_is_required_and_nothing_forbidden() -> None:
    """Of three hosts only the one that has both traits, and not the third, is granted."""
    hosts = [
        host("half", {"VCPU": 4}, traits=["A"]),
        host("right", {"VCPU": 8}, traits=["A", "B"]),
        host("slow", {"VCPU": 4}, traits=["A", "B", "SLOW"]),
    ]
    assert hosts_of(hosts, demand(FOUR, require=["A", "B"], forbid=["SLOW"])) == ("right",)


def test_each_instance_has_its_own_traits() -> None:
    """Two instances of equal amounts go to the hosts that their own traits allow."""
    hosts = [host("fast", {"VCPU": 4}, traits=["AVX"]), host("plain", {"VCPU": 4})]
    wanted = demand(FOUR, traited(FOUR, ["AVX"]))
    assert hosts_of(hosts, wanted) == ("plain", "fast")
    assert hosts_of(hosts, demand(traited(FOUR, ["AVX"]), FOUR)) == ("fast", "plain")
    assert hosts_of(hosts[1:] * 2, wanted) == ()


def test_any_of_several_aggregates_will_do_beside_the_one_that_must_be() -> None:
    """A host has to be in host_aggregate, if given, and in one of any_aggregate."""
    hosts = [host(f"h{n}", {"VCPU": 4}, *names) for n, names in enumerate(["ab", "bc", "c", "ac"])]
    assert hosts_of(hosts, demand(FOUR, FOUR, FOUR, any_aggregate=["a", "b"])) == ("h0", "h1", "h3")
    assert hosts_of(hosts, demand(FOUR, aggregate="b", any_aggregate=["a"])) == ("h0",)


def test_reasons_name_what_is_like_an_unknown_aggregate_or_trait() -> None:
    """A name that no host has is answered with one that some host has, and that is like it."""
    hosts = [host("h", {"VCPU": 4, "Memory": 8}, "basement", traits=["HW_CPU_X86_AVX2"])]
    meant = {
        "Memory": demand(instance(Memroy=1)),
        "basement": demand(FOUR, aggregate="basment"),
        "HW_CPU_X86_AVX2": demand(FOUR, require=["HW_CPU_X86_AVX"]),
    }
    meant_by_one = demand(traited(FOUR, ["hw_cpu_x86_avx2"]))
    for name, wanted in (*meant.items(), ("HW_CPU_X86_AVX2", meant_by_one)):
        assert text_of(hosts, wanted).endswith(f"; did you mean {name}?")


def test_reasons_say_which_aggregates_and_traits_are_meant() -> None:
    """A sentence names what the whole demand and what one instance wants of its host."""
    hosts = [host("h1", {"VCPU": 8}, "a", traits=["A"], held={"VCPU": 6})]
    wanted = demand(FOUR, any_aggregate=["a", "b"], require=["A"], forbid=["B"])
    assert text_of(hosts, wanted) == (
        "needs VCPU 4 on one host of aggregate a or b with trait A, without trait B; "
        "the most free is 2 on h1"
    )
    own = demand(traited(FOUR, ["A"]))
    assert text_of(hosts, own) == (
        "needs VCPU 4 on one host with the instance's trait A; the most free is 2 on h1"
    )
    nowhere = demand(traited(FOUR, ["X"]), aggregate="a")
    assert (
        text_of(hosts, nowhere)
        == "there is no known host of aggregate a with the instance's trait X"
    )


def test_what_is_anywhere_goes_beside_hosts_of_any_aggregate_and_trait() -> None:
    """A licence needs no aggregate, no trait and no host of its own, though the demand does."""
    hosts = [host(f"h{n}", {"VCPU": 4}, "gpu", traits=["A"]) for n in (1, 2)]
    both = [FOUR, LICENCE, FOUR, LICENCE]
    wanted = demand(*both, aggregate="gpu", spread=True, require=["A"])
    granted = hosts_of([*hosts, licences(2)], wanted)
    assert {granted[0], granted[2]} == {"h1", "h2"}
    assert (granted[1], granted[3]) == ("licences", "licences")
    own = demand(traited(LICENCE, ["SITE-A"]), aggregate="gpu")
    assert hosts_of([licences(2)], own) == ()
    assert hosts_of([licences(2, traits=["SITE-A"])], own) == ("licences",)


def test_only_what_has_the_resources_of_an_instance_counts_as_anywhere() -> None:
    """Jobs of disjoint aggregates stay apart though licences are anywhere: no host is shared."""
    hosts = [host(name, {"VCPU": 4}, name, held={"VCPU": 4}) for name in ("a", "b")]
    shapes = [waiting(name, demand(FOUR, aggregate=name), n) for n, name in enumerate("ab")]
    holds = (hold("x", 1100.0, a=4), hold("y", 1200.0, b=4))
    snapshot = snapshot_of([*hosts, licences(5)], shapes, holds=holds)
    assert explain(snapshot, "a").usable_hosts == {"a"}
    assert explain(snapshot, "b").usable_hosts == {"b"}


def test_reasons_show_what_is_anywhere_as_such() -> None:
    """A reason says that licences are what is missing, and how to ask for them."""
    hosts = [host("h1", {"VCPU": 4}), licences(0)]
    assert text_of(hosts, demand(FOUR, LICENCE)) == (
        "needs matlab 1 of licences, which is anywhere in the type; it has matlab 0"
    )
    assert text_of(hosts, demand(instance(VCPU=4, matlab=1))) == (
        "no host could ever hold this: needs matlab 1 on one host; the closest is h1 with matlab 0"
        "; matlab is anywhere (licences): ask for it in its own instance"
    )


def test_forecasts_keep_traits_and_aggregates() -> None:
    """In simulated futures a job waits for the host with its traits, not for the one free now."""
    hosts = [
        host("h1", {"VCPU": 4}, "a", held={"VCPU": 4}, traits=["A"]),
        host("h2", {"VCPU": 4}, "b"),
    ]
    shapes = [
        waiting("traits", demand(FOUR, require=["A"]), 1),
        waiting("own", demand(traited(FOUR, (), ["A"])), 2),
        waiting("any", demand(FOUR, any_aggregate=["b", "c"]), 3),
    ]
    holds = (hold("x", 1100.0, h1=4),)
    snapshot = snapshot_of(hosts, (), holds=holds, history=history([100.0] * 10))
    forecasts = forecast_line(snapshot, line_of(shapes))
    waits = [forecasts.of(n, n - 1, digest).p50 or 0.0 for n, digest in enumerate(("", ""), 1)]
    assert waits[0] > 0.0
    assert waits[1] == 0.0
    assert (forecasts.of(3, 2, "").p50 or 0.0) == 100.0


def test_forecasts_let_a_spread_job_take_several_licences() -> None:
    """In simulated futures spread does not bind what is anywhere."""
    wanted = demand(FOUR, LICENCE, LICENCE, spread=True)
    hosts = [host("h1", {"VCPU": 4}), licences(2)]
    snapshot = snapshot_of(hosts, (), history=history([100.0] * 10))
    assert forecast_line(snapshot, line_of([waiting("a", wanted, 1)])).of(1, 0, "a").p50 == 0.0


def test_an_impossible_licence_is_told_so() -> None:
    """More than there is of what is anywhere could never be held."""
    reason = plan(
        snapshot_of([licences(5)], [waiting("a", demand(instance(matlab=6)), 1)])
    ).reasons["a"]
    assert reason.code is ReasonCode.IMPOSSIBLE
    assert "matlab 6 of licences, which is anywhere in the type; it has matlab 5" in reason.text
