"""`at_once`: how many jobs of an array hold capacity at a time, in passes and in forecasts."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as with_fields

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.terms import AtOnce
from rq_broker.planner import ReasonCode, explain, plan
from tests.planner.forecasting.lines import HOUR, forecasts, history
from tests.planner.oracle import demand, hold, host, instance, snapshot_of, waiting

ONE = demand(instance(VCPU=1))


def _of_array(digest: str, most: int, *ids: int, wanted: Demand = ONE) -> WaitingShape:
    shown = waiting(digest, wanted, *ids)
    return replace(shown, shape=with_fields(shown.shape, at_once=AtOnce("s", most)))


def _snapshot(*shapes: WaitingShape, holding: int = 0) -> Snapshot:
    wide = snapshot_of([host("h1", {"VCPU": 64})], list(shapes), policy=Policy(patience=0))
    return replace(wide, holding={"s": holding} if holding else {})


def test_a_pass_grants_no_more_than_may_hold() -> None:
    """What holds already counts, and so do other shapes of the array; others go past it."""
    shapes = [
        _of_array("a", 3, 1, 2),
        _of_array("b", 3, 3, 4, wanted=demand(instance(VCPU=2))),
        waiting("c", ONE, 5),
    ]
    planned = plan(_snapshot(*shapes, holding=1))
    assert [grant.head.id for grant in planned.grants] == [1, 2, 5]
    reason = planned.reasons["b"]
    assert reason.code is ReasonCode.AT_ONCE
    assert reason.text == "3 jobs of s[*] may hold capacity at a time, and as many do"
    assert planned.passed == ()


def test_a_full_array_is_explained_without_a_size() -> None:
    """No smaller job would help, and it delays nobody."""
    explained = explain(_snapshot(_of_array("a", 1, 1, 2), holding=1), "a")
    assert explained.reason is not None
    assert explained.reason.text == "1 job of s[*] may hold capacity at a time, and as many do"
    assert explained.largest is None
    assert explained.start is None


def test_forecasts_know_that_its_jobs_come_one_after_the_other() -> None:
    """On an empty host, the third of one at a time waits for two whole jobs; others do not."""
    past = history(HOUR, wanted=ONE)
    shapes = [_of_array("a", 1, 1, 2, 3), waiting("b", ONE, 4)]
    found = forecasts(replace(_snapshot(*shapes), history=past))
    assert [found[number].p50 for number in (1, 2, 3, 4)] == [0, 3600, 7200, 0]


def test_forecasts_count_what_holds_now() -> None:
    """The first that waits starts when the one that holds ends."""
    past = history(HOUR, wanted=ONE)
    held = replace(hold("s[0]", 3600.0, h1=1), array="s")
    snapshot = replace(_snapshot(_of_array("a", 1, 1, 2)), history=past, holds=(held,), now=600.0)
    found = forecasts(snapshot)
    assert [found[number].p50 for number in (1, 2)] == [3000, 6600]
