"""Patience: which jobs may pass which, for how long, and what is reserved for one passed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from rq_broker.domain.capacity import Host
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.planning import OwnedJob, Promise
from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, explain, plan
from rq_broker.planner.promising import LATE_FACTOR, LATE_MEANS
from tests.planner.oracle import (
    demand,
    granted,
    hold,
    host,
    instance,
    name_of,
    newly_passed,
    reserved,
    snapshot_of,
    waiting,
)

BIG, SMALL = demand(instance(VCPU=8)), demand(instance(VCPU=1))
BIG_THEN_SMALL = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
FINITE, BEST_EFFORT = Policy(patience=60.0), Policy(patience=None)
EAGER, STRICT = Policy(patience=0.0), Policy(strict_order=True)
SECONDS = 100.0
"""The span of jobs of SMALL, by all that is known."""
_SMALL_ENDED = [Observation("lab", demand_key(SMALL), -3, SECONDS)] * 2
_LONG_ENDED = Observation("lab", demand_key(SMALL), -3, 3 * SECONDS)
SHORT = HoldingTimes(_SMALL_ENDED)
HISTORY = HoldingTimes([*_SMALL_ENDED, Observation("ops", "", 0, 9000.0)])
"""The mean of all is long, so no reservation is strict."""


def busy(name: str, held: int, *aggregates: str) -> Host:
    return host(name, {"VCPU": 8}, *aggregates, held={"VCPU": held})


def passed_long_ago(*ids: int) -> dict[str, float]:
    return {name_of(id_): 0.0 for id_ in ids}


def test_a_job_that_does_not_fit_is_passed_and_the_clock_starts_once() -> None:
    """Within patience a later job goes ahead, and `passed` names the earlier one just once."""
    snapshot = snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=FINITE)
    planned = plan(snapshot)
    assert granted(planned) == [2]
    assert newly_passed(planned) == {name_of(1)}
    assert reserved(planned) == {}
    assert newly_passed(plan(replace(snapshot, passed={name_of(1): 950.0}))) == set()


def test_no_job_is_passed_when_nothing_is_granted_that_it_could_have_used() -> None:
    """A grant outside the waiting job's aggregate, or none at all, does not start its clock."""
    gpu = demand(instance(VCPU=8), aggregate="gpu")
    cpu = demand(instance(VCPU=1), aggregate="cpu")
    hosts = [busy("h1", 4, "gpu"), busy("h2", 4, "cpu")]
    planned = plan(snapshot_of(hosts, [waiting("big", gpu, 1), waiting("small", cpu, 2)]))
    assert granted(planned) == [2]
    assert newly_passed(planned) == set()
    assert newly_passed(plan(snapshot_of(hosts, [waiting("big", BIG, 1)]))) == set()


@pytest.mark.parametrize(
    "policy", [Policy(patience=0.0), FINITE, BEST_EFFORT, Policy(strict_order=True)]
)
def test_an_impossible_job_is_neither_passed_nor_reserved_for_nor_in_the_way(
    policy: Policy,
) -> None:
    """What no host could ever hold delays no other job, under any policy."""
    shapes = [waiting("never", demand(instance(VCPU=9)), 1), waiting("small", SMALL, 2)]
    hosts = [busy("h1", 4)]
    planned = plan(snapshot_of(hosts, shapes, policy=policy, passed=passed_long_ago(1)))
    assert granted(planned) == [2]
    assert (newly_passed(planned), reserved(planned)) == (set(), {})
    assert newly_passed(plan(snapshot_of(hosts, shapes, policy=policy))) == set()
    assert planned.reasons["never"].code is ReasonCode.IMPOSSIBLE


def test_strict_order_waits_for_the_first_job_and_names_it() -> None:
    """FCFS: a later job that would fit waits, with a reason that names the one before it."""
    planned = plan(snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=STRICT))
    assert granted(planned) == []
    assert planned.reasons["small"].code is ReasonCode.STRICT_ORDER
    assert "r1" in planned.reasons["small"].text
    assert planned.reasons["big"].code is ReasonCode.NO_FIT


def test_strict_order_does_not_reach_beyond_the_aggregate() -> None:
    """FCFS: hosts outside the first job's aggregate stay open to later jobs."""
    gpu = demand(instance(VCPU=8), aggregate="gpu")
    hosts = [busy("h1", 4, "gpu"), busy("h2", 4)]
    shapes = [waiting("big", gpu, 1), waiting("small", SMALL, 2, 3, 4, 5, 6)]
    planned = plan(snapshot_of(hosts, shapes, policy=STRICT))
    assert {grant.hosts for grant in planned.grants} == {("h2",)}
    assert granted(planned) == [2, 3, 4, 5]


def test_patience_null_never_reserves() -> None:
    """Best effort lets later jobs pass for ever."""
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": (hold("a", 1100.0, h1=4),)}
    planned = plan(snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=BEST_EFFORT, **fields))
    assert granted(planned) == [2]
    assert reserved(planned) == {}


def test_a_gang_is_reserved_the_hosts_that_are_free_first() -> None:
    """Of three hosts, busy for 100, 100,000 and 10 s, a gang of two gets the first and third."""
    hosts = [host(f"h{n}", {"VCPU": 1}, held={"VCPU": 1}) for n in (1, 2, 3)]
    holds = (hold("c", 1010.0, h3=1), hold("a", 1100.0, h1=1), hold("b", 101_000.0, h2=1))
    gang = [waiting("gang", demand(instance(VCPU=1), instance(VCPU=1)), 1)]
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": holds}
    planned = plan(snapshot_of(hosts, gang, policy=FINITE, **fields))
    assert reserved(planned) == {name_of(1): (1100.0, {"h1", "h3"})}


@pytest.mark.parametrize(("ends", "expected"), [(1000.0 + SECONDS, [2, 3]), (1099.0, [])])
def test_a_later_job_goes_ahead_if_it_ends_before_the_reservation(
    ends: float, expected: list[int]
) -> None:
    """Jobs known to hold 100 s pass a reservation that begins in 100 s, not one in 99."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2, 3)]
    fields: dict[str, Any] = {
        "passed": passed_long_ago(1),
        "holds": (hold("a", ends, h1=6),),
        "history": HISTORY,
    }
    planned = plan(snapshot_of([busy("h1", 6)], shapes, policy=FINITE, **fields))
    assert reserved(planned) == {name_of(1): (ends, {"h1"})}
    assert granted(planned) == expected
    if not expected:
        assert planned.reasons["small"].code is ReasonCode.PROTECTED_OTHER
        assert "r1" in planned.reasons["small"].text
    assert planned.reasons["big"].code is ReasonCode.NO_FIT


@pytest.mark.parametrize(
    ("hosts", "expected"), [(["h1"], []), (["h1", "h2"], []), (["h1", "h2", "h3"], [2])]
)
@pytest.mark.parametrize("alone", ["", "gold"])
def test_before_a_wide_job_only_what_surely_ends_goes_ahead(
    hosts: list[str], expected: list[int], alone: str
) -> None:
    """Before a job of half of its hosts the longest of five holds decides, before others most."""
    history = HoldingTimes([*_SMALL_ENDED * 2, _LONG_ENDED, Observation("ops", "", 0, 9000.0)])
    fields: dict[str, Any] = {
        "passed": passed_long_ago(1),
        "holds": (hold("a", 1000.0 + SECONDS, h1=6),),
        "history": history,
    }
    big = demand(instance(VCPU=8), aggregate=alone or None)
    beside = [busy("other", 8), busy("another", 8)] if alone else []
    cluster = [busy(name, 6 if name == "h1" else 8, alone) for name in hosts] + beside
    shapes = [waiting("big", big, 1), waiting("small", SMALL, 2)]
    assert granted(plan(snapshot_of(cluster, shapes, policy=FINITE, **fields))) == expected


def test_a_later_job_may_use_what_the_reserved_job_will_not_need() -> None:
    """Jobs that end too late get what is free now and stays free beside the reserved job."""
    shapes = [waiting("big", demand(instance(VCPU=6)), 1), waiting("small", SMALL, *range(2, 12))]
    fields: dict[str, Any] = {
        "passed": passed_long_ago(1),
        "holds": (hold("a", 1001.0, h1=3),),
        "history": HISTORY,
    }
    planned = plan(snapshot_of([busy("h1", 3), busy("h2", 7)], shapes, policy=FINITE, **fields))
    assert reserved(planned) == {name_of(1): (1001.0, {"h1"})}
    assert sorted(grant.hosts for grant in planned.grants) == [("h1",), ("h1",), ("h2",)]


def test_a_later_job_that_ends_in_time_prefers_reserved_hosts() -> None:
    """It leaves the other hosts to jobs that end later, though they are fuller."""
    fields: dict[str, Any] = {
        "passed": passed_long_ago(1),
        "holds": (hold("a", 2000.0, h1=3),),
        "history": HISTORY,
    }
    hosts = [busy("h1", 3), busy("h2", 7)]
    planned = plan(snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, **fields))
    assert [grant.hosts for grant in planned.grants] == [("h1",)]


def test_patience_0_reserves_at_once() -> None:
    """With patience 0 the first job that does not fit is reserved for before anyone passed it."""
    fields: dict[str, Any] = {"holds": (hold("a", 1050.0, h1=4),), "history": HISTORY}
    planned = plan(snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=EAGER, **fields))
    assert reserved(planned) == {name_of(1): (1050.0, {"h1"})}
    assert granted(planned) == []


def test_a_reservation_moves_when_a_hold_is_expected_to_end_earlier() -> None:
    """Each pass finds start time and hosts anew; the promise stays the first."""
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": (hold("a", 1050.0, h1=8),)}
    hosts = [busy("h1", 8), busy("h2", 8)]
    first = plan(snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, **fields))
    assert first.promises == (Promise(1, name_of(1), 1050.0, 1000.0),)
    fields |= {"holds": (hold("b", 1020.0, h2=8), hold("a", 1050.0, h1=8))}
    snapshot = snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, promises=first.promises, **fields)
    second = plan(snapshot)
    assert reserved(second) == {name_of(1): (1020.0, {"h2"})}
    assert second.promises == first.promises


def test_each_pool_has_a_reservation_of_its_own() -> None:
    """Jobs of disjoint aggregates are both reserved for; a later one of the same pool is not."""
    hosts = [busy("h1", 8, "gpu"), busy("h2", 8, "cpu")]
    holds = (hold("a", 1050.0, h1=8), hold("b", 1060.0, h2=8))
    shapes = [
        waiting(f"{name}{n}", demand(instance(VCPU=8 - n), aggregate=name), 2 * n + position)
        for n in (0, 1)
        for position, name in enumerate(("gpu", "cpu"), 1)
    ]
    planned = plan(snapshot_of(hosts, shapes, policy=EAGER, holds=holds))
    assert reserved(planned) == {name_of(1): (1050.0, {"h1"}), name_of(2): (1060.0, {"h2"})}


def test_nothing_is_reserved_that_holds_do_not_free() -> None:
    """What sources count as used never ends by prediction: the job waits without a reservation."""
    hosts = [host("h1", {"VCPU": 8}, used={"VCPU": 6}, held={"VCPU": 1})]
    fields: dict[str, Any] = {"holds": (hold("a", 1050.0, h1=1),), "passed": passed_long_ago(1)}
    planned = plan(snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, **fields))
    assert reserved(planned) == {}
    assert granted(planned) == [2]


def test_a_job_whose_kinds_differ_is_reserved_when_all_of_them_fit() -> None:
    """Instances of two kinds start at the first moment at which both fit together."""
    mixed = demand(instance(VCPU=8), instance(VCPU=6))
    hosts = [busy("h1", 8), busy("h2", 8), busy("h3", 8)]
    holds = (hold("a", 1010.0, h1=8), hold("b", 1020.0, h2=5), hold("c", 1030.0, h2=3))
    planned = plan(snapshot_of(hosts, [waiting("mixed", mixed, 1)], policy=EAGER, holds=holds))
    assert reserved(planned) == {name_of(1): (1030.0, {"h1", "h2"})}


def test_the_reserved_job_takes_any_hosts_that_fit_first() -> None:
    """The reservation ends with the grant, wherever the job fits."""
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": (hold("a", 1050.0, h1=4),)}
    hosts = [busy("h1", 4), busy("h2", 0)]
    planned = plan(snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, **fields))
    assert [grant.hosts for grant in planned.grants] == [("h2",), ("h1",)]
    assert (planned.reservations, planned.promises) == ((), ())


def test_an_operators_reorder_beats_a_reservation() -> None:
    """A job put before the reserved one takes what it needs, and the reservation if it is due."""
    fields: dict[str, Any] = {"policy": FINITE, "holds": (hold("a", 1050.0, h1=4),)}
    shapes = [waiting("small", SMALL, 1), waiting("big", BIG, 2)]
    planned = plan(snapshot_of([busy("h1", 4)], shapes, passed=passed_long_ago(2), **fields))
    assert granted(planned) == [1]
    shapes = [waiting("other", demand(instance(VCPU=7)), 1), waiting("big", BIG, 2)]
    planned = plan(snapshot_of([busy("h1", 4)], shapes, passed=passed_long_ago(1, 2), **fields))
    assert set(reserved(planned)) == {name_of(1)}


def test_a_promise_missed_by_far_fixes_the_hosts() -> None:
    """Then nobody gets what the job needs there, however soon it would end; others stay open."""
    late = Promise(1, name_of(1), 10.0, 0.0)
    hosts = [busy("h1", 6), busy("h2", 7)]
    holds = (hold("a", 10_010.0, h1=6), hold("b", 10_500.0, h2=7))
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": holds, "history": SHORT}
    snapshot = snapshot_of(hosts, BIG_THEN_SMALL, 10_000.0, policy=FINITE, **fields)
    planned = plan(replace(snapshot, promises=(late,)))
    assert planned.promises == (replace(late, hosts=frozenset({"h1"})),)
    assert [grant.hosts for grant in planned.grants] == [("h2",)]
    nearer = replace(snapshot, holds=(hold("b", 10_005.0, h2=7),), promises=planned.promises)
    assert plan(nearer).promises == planned.promises


def test_past_fixed_hosts_goes_only_what_history_shows_to_end_in_time_by_far() -> None:
    """Four strict spans must end in time, not as clients say; none passes holds from after it was
    missed by far, until it is missed by twice as much."""
    promise = Promise(1, name_of(1), 1000.0, 900.0, frozenset({"h1"}))
    four_spans = 4 * SECONDS
    fields: dict[str, Any] = {"policy": FINITE, "history": SHORT, "passed": passed_long_ago(1)}

    def ahead(now: float, seconds: float, says: int | None = None, since: float = 0.0) -> list[int]:
        small = waiting("small", SMALL, 2)
        small = replace(small, shape=structs.replace(small.shape, expected=says))
        fields["holds"] = (replace(hold("a", now + seconds, h1=6), granted=since),)
        fields["promises"] = (promise,)
        return granted(
            plan(snapshot_of([busy("h1", 6)], [waiting("big", BIG, 1), small], now, **fields))
        )

    tolerance = LATE_FACTOR * 100.0 + LATE_MEANS * SECONDS
    missed, missed_twice = 1000.0 + tolerance, 1000.0 + 2 * tolerance
    assert ahead(missed, four_spans / 2) == [2]
    assert ahead(missed + 1.0, four_spans - 1.0) == []
    assert ahead(missed + 1.0, four_spans + 1.0) == [2]
    assert ahead(missed + 1.0, four_spans + 1.0, says=1) == []
    assert ahead(missed + 1.0, four_spans + 1.0, since=missed) == []
    assert ahead(missed_twice - 1.0, four_spans + 1.0, since=missed) == []
    assert ahead(missed_twice + 1.0, four_spans + 1.0, since=missed) == [2]
    assert ahead(missed_twice + 1.0, four_spans + 1.0, since=missed_twice) == []


def test_a_job_submitted_again_by_the_same_name_inherits_no_promise() -> None:
    """A promise is a job's, by its ID: its successor by name gets one of its own."""
    earlier = Promise(9, name_of(1), 10.0, 0.0, frozenset({"h1"}))
    fields: dict[str, Any] = {"passed": passed_long_ago(1), "holds": (hold("a", 1050.0, h1=7),)}
    snapshot = snapshot_of([busy("h1", 7)], BIG_THEN_SMALL, policy=FINITE, **fields)
    planned = plan(replace(snapshot, promises=(earlier,)))
    assert planned.promises == (Promise(1, name_of(1), 1050.0, 1000.0),)


def test_an_owner_at_its_limit_has_room_kept_for_its_earliest_job() -> None:
    """A job that its owner's others passed too long has room kept below the limit; others go on."""
    policy = Policy(patience=60.0, limits={"lab": {"VCPU": 4}})
    shapes = [
        waiting("four", demand(instance(VCPU=4)), 1),
        waiting("one", SMALL, 2),
        waiting("ops", SMALL, 3, owner="ops"),
    ]
    usage = {"lab": {"VCPU": 2}}
    snapshot = snapshot_of([busy("h1", 0)], shapes, policy=policy, usage=usage)
    first = plan(snapshot)
    assert granted(first) == [2, 3]
    assert newly_passed(first) == {name_of(1)}
    second = plan(replace(snapshot, passed=passed_long_ago(1)))
    assert granted(second) == [3]
    assert second.reasons["one"].code is ReasonCode.OWNER_LIMIT
    assert "kept" in second.reasons["one"].text


def test_the_explanation_of_a_reserved_job_names_its_hosts() -> None:
    """`explain` shows what is reserved, since when the job is passed, and what is missing there."""
    hosts, passed = [busy("h1", 6), busy("h2", 1)], passed_long_ago(1)
    fields: dict[str, Any] = {"holds": (hold("a", 1001.0, h2=1),), "passed": passed}
    snapshot = snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, **fields)
    explanation = explain(snapshot, "big")
    assert explanation.start == 1001.0
    assert [awaited.request_id for awaited in explanation.awaited] == ["a"]
    assert explanation.reason is not None
    assert (
        "reserved on h2 from about 00:16 UTC, when a is expected to end" in explanation.reason.text
    )
    assert (explanation.hosts, explanation.passed_since) == (("h2",), 0.0)
    (lack,) = explanation.shortfalls
    assert (lack.host, lack.resource, lack.needed, lack.free) == ("h2", "VCPU", 8, 7)
    assert explanation.passed_by == (OwnedJob("r2", "lab"),)
