"""The sentences that say why a job waits, and what `explain` adds to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Head, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Share
from rq_broker.planner import Reason, ReasonCode, beyond_limits, could_ever_fit, explain, plan
from tests.planner.oracle import demand, hold, host, instance, known, snapshot_of, waiting


def reason_of(hosts: list[Host], wanted: Demand, **fields: Any) -> Reason:
    return plan(snapshot_of(hosts, [waiting("a", wanted, 1)], **fields)).reasons["a"]


def gpu_host(name: str, capacity: int, held: int) -> Host:
    return host(name, {"VCPU": capacity}, "gpu", held={"VCPU": held})


# Reasons


def test_the_reason_names_resource_amount_aggregate_and_best_host() -> None:
    """The reason is a sentence, and its numbers are in fields as well."""
    hosts = [gpu_host("gpu-1", 8, 6), gpu_host("gpu-2", 8, 4), host("h3", {"VCPU": 64})]
    reason = reason_of(hosts, demand(instance(VCPU=8), aggregate="gpu"))
    assert reason.code is ReasonCode.NO_FIT
    assert reason.text == ("needs VCPU 8 on one host of aggregate gpu; the most free is 4 on gpu-2")
    values = (reason.host, reason.resource, reason.needed, reason.free)
    assert values == ("gpu-2", "VCPU", 8, 4)


def test_two_resources_that_the_closest_host_lacks_are_both_named() -> None:
    """Where more than one resource is short, the closest host is named with all it lacks."""
    hosts = [host("h1", {"VCPU": 8, "Memory": 8}, held={"VCPU": 6, "Memory": 5})]
    text = reason_of(hosts, demand(instance(VCPU=4, Memory=4))).text
    assert (
        text == "needs Memory 4 and VCPU 4 on one host; the closest is h1 with Memory 3 and VCPU 2"
    )


def test_the_reason_of_a_gang_says_how_many_instances_would_fit() -> None:
    """Where each instance fits somewhere but not all at once, the reason counts those that do."""
    four = [instance(VCPU=4)]
    text = reason_of([gpu_host("h1", 8, 0), gpu_host("h2", 8, 4)], demand(*four * 4)).text
    assert text == "needs 4 instances of VCPU 4 at once; 3 would fit"
    hosts = [gpu_host("h1", 8, 0), gpu_host("h2", 8, 6)]
    text = reason_of(hosts, demand(*four * 2, spread=True)).text
    assert text == "needs 2 instances of VCPU 4, each on a host of its own, at once; 1 would fit"


def test_the_reason_of_mixed_instances_that_only_fit_one_by_one_says_so() -> None:
    """Each kind would fit alone, but not beside the others."""
    mixed = demand(instance(VCPU=5), instance(VCPU=3))
    partly_held = [host("h1", {"VCPU": 8, "GPU": 1}, held={"VCPU": 2})]
    text = reason_of(partly_held, mixed).text
    assert text == "needs 1 instance of VCPU 5 and 1 other at once; not all would fit"
    assert could_ever_fit({"h1": gpu_host("h1", 8, 0)}, mixed) is None


def test_the_reason_of_an_impossible_demand_names_the_largest_host() -> None:
    """Only the capacity of hosts in service counts, whatever is used or held."""
    hosts = {
        "h1": host("h1", {"VCPU": 4}, held={"VCPU": 4}),
        "h2": host("h2", {"VCPU": 64}, dropped=True),
    }
    assert known(could_ever_fit(hosts, demand(instance(VCPU=8)))).text == (
        "no host could ever hold this: needs VCPU 8 on one host; the largest is 4 on h1"
    )
    assert could_ever_fit(hosts, demand(instance(VCPU=4))) is None
    elsewhere = could_ever_fit(hosts, demand(instance(VCPU=1), aggregate="gpu"))
    assert known(elsewhere).text == "there is no known host of aggregate gpu"
    gang = could_ever_fit(hosts, demand(instance(VCPU=3), instance(VCPU=3)))
    assert "needs 2 instances of VCPU 3 at once; 1 would fit" in known(gang).text


def test_a_resource_that_no_host_has_is_said_to_be_unknown() -> None:
    """The reason names the resource, and the one that differs by case only, if there is one."""
    hosts = {
        "h1": host("h1", {"VCPU": 4, "GPU": 1}, "gpu"),
        "h2": host("h2", {"VCPU": 4, "FPGA": 0}),
    }
    texts = {}
    for resource in ("gpu", "FPGA"):
        reason = known(could_ever_fit(hosts, demand(instance(VCPU=9, **{resource: 2}))))
        assert reason.code is ReasonCode.IMPOSSIBLE
        texts[resource] = reason.text
    assert texts == {
        "gpu": "no host could ever hold this: needs gpu 2, but no host has gpu; did you mean GPU?",
        "FPGA": "no host could ever hold this: needs FPGA 2, but no host has FPGA",
    }
    elsewhere = could_ever_fit(hosts, demand(instance(FPGA=1), aggregate="gpu"))
    assert "but no host of aggregate gpu has FPGA" in known(elsewhere).text


# Explanations


def test_explain_gives_the_largest_version_that_would_be_granted() -> None:
    """Instances are counted from the first, and all amounts scaled to the least such percent."""
    hosts = [gpu_host("h1", 8, 2), gpu_host("h2", 8, 3)]
    wanted = demand(*[instance(VCPU=4)] * 3)
    explanation = explain(snapshot_of(hosts, [waiting("a", wanted, 1)]), "a")
    assert explanation.largest is not None
    assert explanation.largest.instances == 2
    assert explanation.largest.percent == 75
    assert explanation.largest.demand == demand(*[instance(VCPU=3)] * 3)
    assert explanation.hosts == ("h1", "h2")
    assert [(lack.needed, lack.free) for lack in explanation.shortfalls] == [(8, 6)]


def test_explain_of_a_job_that_would_be_granted_names_its_hosts() -> None:
    """There is no reason, but the hosts that a pass would give it."""
    shapes = [waiting("a", demand(instance(VCPU=4)), 1)]
    explanation = explain(snapshot_of([gpu_host("h1", 8, 2)], shapes), "a")
    assert (explanation.request_id, explanation.hosts, explanation.reason) == ("r1", ("h1",), None)


def test_explain_respects_the_owners_limit_and_offers_only_what_helps() -> None:
    """The largest version stays below the limit; paused types and closed destinations have none."""
    shapes = [waiting("a", demand(instance(VCPU=4), instance(VCPU=4)), 1)]
    hosts = [gpu_host("h1", 64, 0)]
    limited = explain(snapshot_of(hosts, shapes, policy=Policy(limits={"*": {"VCPU": 6}})), "a")
    assert known(limited.reason).code is ReasonCode.IMPOSSIBLE
    assert limited.largest is not None
    assert (limited.largest.instances, limited.largest.percent) == (1, 75)
    tight = explain(snapshot_of(hosts, shapes, policy=Policy(limits={"*": {"VCPU": 3}})), "a")
    assert tight.largest is not None
    assert (tight.largest.instances, tight.largest.percent) == (0, 25)
    paused = explain(snapshot_of(hosts, shapes, policy=Policy(paused=True)), "a")
    closed = explain(snapshot_of(hosts, shapes, closed=frozenset({"http://here lab"})), "a")
    assert paused.largest is None
    assert closed.largest is None


@pytest.mark.parametrize("code", [ReasonCode.OFFERS_MISSED, ReasonCode.OFFERS_OPEN])
def test_explain_of_a_job_whose_owner_takes_no_offers_names_no_smaller_one(
    code: ReasonCode,
) -> None:
    """There is room for all of it, so none is missing, and a part of it would wait as well."""
    job = waiting("a", demand(instance(VCPU=1)), 1)
    offered = replace(job, shape=structs.replace(job.shape, destination=OFFER))
    receiver = frozenset({offered.shape.receiver})
    snapshot = snapshot_of([gpu_host("h1", 64, 0)], [offered])
    missed = code is ReasonCode.OFFERS_MISSED
    snapshot = replace(snapshot, closed=receiver) if missed else replace(snapshot, behind=receiver)
    waits = explain(snapshot, "a")
    assert known(waits.reason).code is code
    assert (waits.largest, waits.shortfalls, waits.hosts) == (None, (), ("h1",))


def test_a_limit_that_the_demand_alone_exceeds_makes_it_impossible() -> None:
    """It is named before a limit that the owner has only reached, which more time would mend."""
    shapes = [waiting("a", demand(instance(GPU=1, VCPU=8)), 1)]
    hosts = [host("h1", {"VCPU": 64, "GPU": 8})]
    for most, code, text in (
        (7, ReasonCode.IMPOSSIBLE, "needs VCPU 8, but its owner lab may hold 7 at most"),
        (8, ReasonCode.OWNER_LIMIT, "needs GPU 1, but its owner lab may hold 2 and holds 2"),
    ):
        policy = Policy(limits={"lab": {"GPU": 2, "VCPU": most}})
        snapshot = snapshot_of(hosts, shapes, policy=policy, usage={"lab": {"GPU": 2}})
        reason = known(explain(snapshot, "a").reason)
        assert reason.code is code
        assert text in reason.text
    assert beyond_limits({"*": {"VCPU": 7}}, "lab", shapes[0].shape.demand) is not None
    assert beyond_limits({"lab": {}, "*": {"VCPU": 7}}, "lab", shapes[0].shape.demand) is None


def test_what_can_never_be_granted_is_told_before_what_only_delays_it() -> None:
    """Paused, a closed destination, missed offers and a reached limit do not hide `impossible`."""
    shapes = [waiting("a", demand(instance(VCPU=1), any_aggregate=("rack-9",)), 1)]
    hosts, receiver = [host("h1", {"VCPU": 64})], shapes[0].shape.receiver
    limited = Policy(limits={"lab": {"VCPU": 2}})
    for snapshot in (
        snapshot_of(hosts, shapes, policy=Policy(paused=True)),
        snapshot_of(hosts, shapes, closed=frozenset({receiver})),
        snapshot_of(hosts, shapes, behind=frozenset({receiver})),
        snapshot_of(hosts, shapes, policy=limited, usage={"lab": {"VCPU": 2}}),
    ):
        for reason in (plan(snapshot).reasons["a"], known(explain(snapshot, "a").reason)):
            assert reason.code is ReasonCode.IMPOSSIBLE
            assert "rack-9" in reason.text
    beyond = snapshot_of(
        hosts,
        [waiting("a", demand(instance(VCPU=3)), 1)],
        policy=limited,
        closed=frozenset({receiver}),
    )
    assert plan(beyond).reasons["a"].code is ReasonCode.IMPOSSIBLE


def test_explain_behind_strict_order_offers_no_smaller_version() -> None:
    """Hosts closed by an earlier job are closed to any size of a later one, not to the earlier."""
    big, small = demand(instance(VCPU=8)), demand(instance(VCPU=2))
    shapes = [waiting("big", big, 1), waiting("small", small, 2)]
    snapshot = snapshot_of([gpu_host("h1", 8, 4)], shapes, policy=Policy(strict_order=True))
    smaller, bigger = explain(snapshot, "small").largest, explain(snapshot, "big").largest
    assert smaller is not None
    assert (smaller.instances, smaller.percent, smaller.demand) == (0, 0, None)
    assert bigger is not None
    assert bigger.demand == demand(instance(VCPU=4))


# Shares

SHARED = Policy(share=Share("owner", 60.0, {"light": 2.0}))
USED = {"heavy": {"VCPU": 3.0}, "light": {"VCPU": 1.0}}
LEAD = (
    "; r2 came later but goes first, as its owner light used less for its weight than heavy "
    "(5.0% of the capacity against 30.0%)"
)


def shared_reason(*shapes: WaitingShape, held: int, **fields: Any) -> Reason:
    """Return why the shape `heavy` waits on a host of 10 VCPU of which so many are held."""
    given = {"policy": SHARED, "past_usage": USED, **fields}
    hosts = [host("h1", {"VCPU": 10}, held={"VCPU": held})]
    return plan(snapshot_of(hosts, shapes, **given)).reasons["heavy"]


def test_a_job_that_waits_for_its_share_is_told_who_goes_first() -> None:
    """Whether the later job of an owner that used less takes what is free, or waits itself."""
    four = demand(instance(VCPU=4))
    heavy, light = (
        waiting("heavy", four, 1, owner="heavy"),
        waiting("light", four, 2, owner="light"),
    )
    granted_first = shared_reason(heavy, light, held=5)
    assert granted_first.code is ReasonCode.NO_FIT
    assert granted_first.text == (
        "needs VCPU 4 on one host; the most free is 1 on h1, after what earlier jobs are about to "
        "get" + LEAD
    )
    waits_first = shared_reason(heavy, light, held=8)
    assert waits_first.text == "needs VCPU 4 on one host; the most free is 2 on h1" + LEAD


def test_a_job_that_would_delay_a_later_one_of_an_owner_that_used_less_is_told_so() -> None:
    """The reservation of the job that goes first by its share is named, and its owner."""
    heavy = waiting("heavy", demand(instance(VCPU=4)), 1, owner="heavy")
    light = waiting("light", demand(instance(VCPU=8)), 2, owner="light")
    holds = (hold("x", 1010.0, h1=6),)
    policy = Policy(patience=0.0, share=SHARED.share)
    reason = shared_reason(heavy, light, held=6, policy=policy, holds=holds)
    assert reason.code is ReasonCode.PROTECTED_OTHER
    assert reason.text.endswith(LEAD)


def test_a_share_is_no_reason_where_it_puts_nobody_first() -> None:
    """Not without `share`, for an earlier job, for one placed by hand, or before an impossible."""
    four, huge = demand(instance(VCPU=4)), demand(instance(VCPU=99))
    plain = "needs VCPU 4 on one host; the most free is 2 on h1"
    light = waiting("light", four, 2, owner="light")
    heavy = waiting("heavy", four, 1, owner="heavy")
    assert shared_reason(heavy, light, held=8, policy=Policy()).text == plain
    after = waiting("heavy", four, 3, owner="heavy")
    assert shared_reason(light, after, held=8).text == plain
    same_owner = waiting("other", demand(instance(VCPU=3)), 2, owner="heavy")
    assert shared_reason(heavy, same_owner, held=8).text == plain
    by_hand = replace(heavy, heads=(Head(1, "r1", 1, own_priority=True),))
    assert shared_reason(by_hand, light, held=8).text == plain
    assert shared_reason(heavy, waiting("light", huge, 2, owner="light"), held=8).text == plain


def test_explain_says_the_same_of_a_share() -> None:
    """It stops at the job's turn, so those that go first by their share have had theirs."""
    four = demand(instance(VCPU=4))
    shapes = [waiting("heavy", four, 1, owner="heavy"), waiting("light", four, 2, owner="light")]
    hosts = [host("h1", {"VCPU": 10}, held={"VCPU": 5})]
    snapshot = snapshot_of(hosts, shapes, policy=SHARED, past_usage=USED)
    assert known(explain(snapshot, "heavy").reason).text.endswith(LEAD)
    assert explain(snapshot, "light").reason is None
