"""Who goes first: priority, ID, fair shares; and who stays out of the line."""

from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, plan
from tests.planner.oracle import demand, granted, host, need, newly_passed, waiting, world

ONE = demand(need(VCPU=1))


def cpus(amount, name="h1"):
    return host(name, {"VCPU": amount})


def test_heads_of_all_shapes_merge_by_priority_and_then_id():
    """Shapes take turns as their jobs' priorities say; equal ones go first come, first served."""
    shapes = [
        waiting("b", ONE, 2, 5, owner="b"),
        waiting("a", ONE, 1, 4, 6, owner="a"),
        waiting("c", ONE, 3, priority=-9, owner="c"),
    ]
    assert granted(plan(world([cpus(9)], shapes))) == [3, 1, 2, 4, 5, 6]


def test_a_deep_shape_is_reached_past_any_number_that_do_not_fit():
    """With only the last of fifty shapes fitting, it is granted."""
    shapes = [waiting(f"d{n}", demand(need(VCPU=5 + n)), n, count=20_000) for n in range(50)]
    shapes.append(waiting("last", ONE, 99))
    assert granted(plan(world([cpus(4), cpus(64, "h2")][:1], shapes))) == [99]


def test_a_pass_ends_where_hidden_jobs_may_come_first():
    """When a shape's shown heads are granted and it has more, later jobs wait for the next pass."""
    shapes = [waiting("a", ONE, 1, 2, count=5), waiting("b", ONE, 9, owner="b")]
    answer = plan(world([cpus(9)], shapes))
    assert granted(answer) == [1, 2]
    assert answer.ended_early
    assert {reason.code for reason in answer.reasons.values()} == {ReasonCode.NEXT_PASS}
    assert set(answer.reasons) == {"a", "b"}


def test_paused_grants_nothing_and_says_so():
    """A paused type keeps everybody waiting with the reason paused."""
    answer = plan(world([cpus(9)], [waiting("a", ONE, 1)], policy=Policy(paused=True)))
    assert answer.grants == ()
    assert answer.reasons["a"].code is ReasonCode.PAUSED


def test_a_closed_destination_keeps_its_place_and_blocks_nobody():
    """Its jobs get no offer, are not passed, and strict order does not wait for them."""
    shapes = [waiting("dead", ONE, 1, destination="http://dead"), waiting("a", ONE, 2)]
    for patience in (0.0, 60.0):
        snapshot = world(
            [cpus(9)], shapes, policy=Policy(patience=patience), closed=frozenset({"http://dead"})
        )
        answer = plan(snapshot)
        assert granted(answer) == [2]
        assert newly_passed(answer) == set()
        assert answer.reasons["dead"].code is ReasonCode.DESTINATION_CLOSED
        assert "http://dead" in answer.reasons["dead"].text


def test_fair_share_lets_the_owner_with_the_smallest_dominant_share_go_first():
    """DRF: shares are of the dominant resource and count the grants of this very pass."""
    places = [host("h1", {"VCPU": 9, "Memory": 18})]
    shapes = [
        waiting("a", demand(need(VCPU=1, Memory=4)), 1, 2, 3, 4, owner="a", priority=0),
        waiting("b", demand(need(VCPU=3, Memory=1)), 5, 6, 7, 8, owner="b", priority=0),
    ]
    fair = plan(world(places, shapes, policy=Policy(share="owner")))
    assert granted(fair) == [1, 5, 2, 6, 3]
    assert granted(plan(world(places, shapes))) == [1, 2, 3, 4, 5]


def test_fair_share_counts_what_owners_hold_already_and_never_beats_priority():
    """Usage before the pass counts; a smaller priority goes first whatever its owner holds."""
    rich = {"a": {"VCPU": 5}}
    equal = [
        waiting("a", ONE, 1, owner="a", priority=0),
        waiting("b", ONE, 2, owner="b", priority=0),
    ]
    policy = Policy(share="owner")
    assert granted(plan(world([cpus(9)], equal, policy=policy, usage=rich))) == [2, 1]
    urgent = [waiting("a", ONE, 1, owner="a", priority=-1), equal[1]]
    assert granted(plan(world([cpus(9)], urgent, policy=policy, usage=rich))) == [1, 2]


def test_limits_hold_within_a_pass_and_by_name_before_the_default():
    """ "*" caps owners not named; a named owner has its own cap; each says whose limit it met."""
    policy = Policy(limits={"*": {"VCPU": 2}, "big": {"VCPU": 3}, "free": {}})
    shapes = [
        waiting(owner, ONE, *range(at, at + 5), owner=owner)
        for at, owner in ((1, "small"), (11, "big"), (21, "free"))
    ]
    answer = plan(world([cpus(99)], shapes, policy=policy, usage={"small": {"VCPU": 1}}))
    assert granted(answer) == [1, 11, 12, 13, 21, 22, 23, 24, 25]
    assert answer.reasons["small"].code is ReasonCode.OWNER_LIMIT
    assert "owner small may hold 2 and holds 2" in answer.reasons["small"].text
    assert "free" not in answer.reasons


def test_a_limit_on_a_resource_the_job_does_not_need_does_not_bind():
    """An owner beyond its cap of one resource still gets others."""
    policy = Policy(limits={"*": {"GPU": 1}})
    answer = plan(
        world([cpus(9)], [waiting("a", ONE, 1)], policy=policy, usage={"lab": {"GPU": 4}})
    )
    assert granted(answer) == [1]
