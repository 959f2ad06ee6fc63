"""The order of a pass: priority and ID; and which jobs do not take part."""

from __future__ import annotations

from rq_broker.domain.capacity import Host
from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, plan
from tests.planner.oracle import (
    demand,
    granted,
    host,
    instance,
    newly_passed,
    snapshot_of,
    waiting,
)

ONE = demand(instance(VCPU=1))


def cpus(amount: int, name: str = "h1") -> Host:
    return host(name, {"VCPU": amount})


def test_heads_of_all_shapes_merge_by_priority_and_then_id() -> None:
    """Shapes take turns as their jobs' priorities say; equal ones are first come, first served."""
    shapes = [
        waiting("b", ONE, 2, 5, owner="b"),
        waiting("a", ONE, 1, 4, 6, owner="a"),
        waiting("c", ONE, 3, priority=-9, owner="c"),
    ]
    assert granted(plan(snapshot_of([cpus(9)], shapes))) == [3, 1, 2, 4, 5, 6]


def test_a_deep_shape_is_reached_past_any_number_that_do_not_fit() -> None:
    """Where only the last of fifty shapes fits, it is granted."""
    shapes = [waiting(f"d{n}", demand(instance(VCPU=5 + n)), n, count=20_000) for n in range(50)]
    shapes.append(waiting("last", ONE, 99))
    assert granted(plan(snapshot_of([cpus(4)], shapes))) == [99]


def test_a_pass_ends_where_hidden_jobs_may_come_first() -> None:
    """When a shape's shown jobs are granted and it has more, later jobs wait for the next pass."""
    shapes = [waiting("a", ONE, 1, 2, count=5), waiting("b", ONE, 9, owner="b")]
    planned = plan(snapshot_of([cpus(9)], shapes))
    assert granted(planned) == [1, 2]
    assert planned.ended_early
    assert {reason.code for reason in planned.reasons.values()} == {ReasonCode.NEXT_PASS}
    assert set(planned.reasons) == {"a", "b"}


def test_a_paused_type_grants_nothing_and_says_so() -> None:
    """Each job of a paused type waits with the reason `paused`."""
    snapshot = snapshot_of([cpus(9)], [waiting("a", ONE, 1)], policy=Policy(paused=True))
    planned = plan(snapshot)
    assert planned.grants == ()
    assert planned.reasons["a"].code is ReasonCode.PAUSED


def test_a_job_to_a_closed_destination_keeps_its_place_and_blocks_no_other() -> None:
    """It is not granted, is not passed, and strict order does not wait for it."""
    shapes = [waiting("dead", ONE, 1, destination="http://dead"), waiting("a", ONE, 2)]
    for patience in (0.0, 60.0):
        policy, closed = Policy(patience=patience), frozenset({"http://dead lab"})
        planned = plan(snapshot_of([cpus(9)], shapes, policy=policy, closed=closed))
        assert granted(planned) == [2]
        assert newly_passed(planned) == set()
        assert planned.reasons["dead"].code is ReasonCode.DESTINATION_CLOSED
        assert "http://dead" in planned.reasons["dead"].text


def test_limits_hold_within_a_pass_and_by_name_before_the_default() -> None:
    """`*` limits owners that are not named; a named owner has its own limit; reasons name both."""
    policy = Policy(limits={"*": {"VCPU": 2}, "big": {"VCPU": 3}, "free": {}})
    shapes = [
        waiting(owner, ONE, *range(first, first + 5), owner=owner)
        for first, owner in ((1, "small"), (11, "big"), (21, "free"))
    ]
    usage = {"small": {"VCPU": 1}}
    planned = plan(snapshot_of([cpus(99)], shapes, policy=policy, usage=usage))
    assert granted(planned) == [1, 11, 12, 13, 21, 22, 23, 24, 25]
    assert planned.reasons["small"].code is ReasonCode.OWNER_LIMIT
    assert "owner small may hold 2 and holds 2" in planned.reasons["small"].text
    assert "free" not in planned.reasons


def test_a_limit_on_a_resource_the_job_does_not_need_does_not_bind() -> None:
    """An owner beyond its limit of one resource still gets others."""
    policy, usage = Policy(limits={"*": {"GPU": 1}}), {"lab": {"GPU": 4}}
    snapshot = snapshot_of([cpus(9)], [waiting("a", ONE, 1)], policy=policy, usage=usage)
    assert granted(plan(snapshot)) == [1]
