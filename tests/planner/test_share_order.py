"""The order of a pass while the policy shares."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from msgspec import structs

from rq_broker.domain.planning import Head, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Share
from rq_broker.planner import plan
from tests.planner.oracle import (
    SEEDS,
    demand,
    granted,
    host,
    instance,
    name_of,
    snapshot_of,
    waiting,
)

OWNERS = ("a", "b", "c")
SHARED = Policy(patience=None, share=Share("owner", 60.0, {"b": 2.0}))


def random_shared(seed: int, cpus: int) -> Snapshot:
    """Draw shapes of three owners, some jobs with a priority of their own, on one host."""
    rng = Random(seed)
    shapes, id_ = list[WaitingShape](), 0
    for number in range(rng.randint(1, 6)):
        heads = []
        for _ in range(rng.randint(1, 4)):
            id_ += 1
            own = rng.random() < 0.3
            heads.append(Head(id_, name_of(id_), rng.randint(0, 9) if own else id_, own))
        rng.shuffle(heads)
        heads.sort(key=lambda head: (head.priority, head.id))
        wanted, owner = demand(instance(VCPU=rng.randint(1, 3))), rng.choice(OWNERS)
        shape = waiting(f"d{number}", wanted, owner=owner)
        shapes.append(replace(shape, heads=tuple(heads), count=len(heads)))
    fields: dict[str, Any] = {
        "past_usage": {owner: {"VCPU": rng.choice((0.0, 1.5, 4.0))} for owner in OWNERS[1:]},
    }
    return snapshot_of([host("h1", {"VCPU": cpus})], shapes, policy=SHARED, **fields)


def queue_of(snapshot: Snapshot) -> list[tuple[int, int, bool, WaitingShape]]:
    """List the jobs in the order of the queue: priority, ID, whether it is its own, shape."""
    jobs = [
        (head.priority, head.id, head.own_priority, shape)
        for shape in snapshot.waiting
        for head in shape.heads
    ]
    return sorted(jobs, key=lambda job: job[:2])


def expected_grants(snapshot: Snapshot, cpus: int) -> list[int]:
    """Grant one job after the other, by the words of the planner's docstring."""
    queue, used = queue_of(snapshot), dict[str, float]()
    for owner in OWNERS:
        used[owner] = snapshot.past_usage.get(owner, {}).get("VCPU", 0.0)
    places = [job[:2] for job in queue if not job[2]]
    free, grants = cpus, list[int]()
    while queue:

        def share(job: tuple[int, int, bool, WaitingShape]) -> float:
            owner = job[3].shape.owner
            return used[owner] / cpus / (2.0 if owner == "b" else 1.0)

        fixed = sorted((job[0], share(job), job[1], job) for job in queue if job[2])[:1]
        sharing = sorted((share(job), *job[:2], job) for job in queue if not job[2])[:1]
        if fixed and (not sharing or fixed[0][-1][:2] < places[0]):
            job = fixed[0][-1]
        else:
            job = sharing[0][-1]
        needs = dict(job[3].shape.demand.instances[0])["VCPU"]
        considered = [job] if needs <= free else [other for other in queue if other[3] is job[3]]
        if needs <= free:
            free -= needs
            used[job[3].shape.owner] += needs
            grants.append(job[1])
        places = places[sum(not other[2] for other in considered) :]
        queue = [other for other in queue if other not in considered]
    return grants


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_the_order_is_that_of_places_and_shares(seed: int) -> None:
    """What fits is granted as a plain model of the order does, and in that order."""
    cpus = Random(seed).randint(1, 20)
    snapshot = random_shared(seed, cpus)
    assert granted(plan(snapshot)) == expected_grants(snapshot, cpus)


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_jobs_with_a_priority_of_their_own_keep_their_places(seed: int) -> None:
    """Where all fits, each is granted at its place in the queue, whatever owners used."""
    snapshot = random_shared(seed, 999)
    queue, grants = queue_of(snapshot), granted(plan(snapshot))
    priorities = [priority for priority, _, own, _ in queue if own]
    if len(set(priorities)) == len(priorities):
        places = {id_: place for place, (_, id_, own, _) in enumerate(queue) if own}
        assert {grants[place]: place for place in places.values()} == places
    assert sorted(grants) == sorted(id_ for _, id_, _, _ in queue)


def order(*shapes: WaitingShape, policy: Policy = SHARED, **fields: Any) -> list[int]:
    """Return the order in which jobs are granted where all of them fit."""
    cluster = [host("h1", {"VCPU": 100, "GPU": 10})]
    return granted(plan(snapshot_of(cluster, shapes, policy=policy, **fields)))


ONE, GPU = demand(instance(VCPU=1)), demand(instance(VCPU=1, GPU=1))


def test_jobs_that_came_without_a_priority_take_turns_by_owner() -> None:
    """Unique default priorities no longer decide: each grant counts at once for its owner."""
    shapes = [waiting("a", ONE, 1, 2, 3, owner="a"), waiting("c", ONE, 4, 5, owner="c")]
    assert order(*shapes) == [1, 4, 2, 5, 3]
    assert order(*shapes, policy=Policy()) == [1, 2, 3, 4, 5]


def test_an_owner_gets_by_its_weight() -> None:
    """With twice the weight an owner is granted twice as much before it is another's turn."""
    shapes = [
        waiting("b", ONE, *range(1, 7), owner="b"),
        waiting("c", ONE, *range(11, 14), owner="c"),
    ]
    assert order(*shapes) == [1, 11, 2, 3, 12, 4, 5, 13, 6]


def test_what_an_owner_used_counts_until_it_is_forgotten() -> None:
    """An owner that used more goes second, though the other one holds more now."""
    shapes = [waiting("a", ONE, 1, 2, owner="a"), waiting("c", ONE, 3, 4, owner="c")]
    assert order(*shapes, past_usage={"a": {"VCPU": 9.5}}, usage={"c": {"VCPU": 50}}) == [
        3,
        4,
        1,
        2,
    ]


def test_the_resource_counts_of_which_an_owner_has_the_largest_part() -> None:
    """One of ten GPUs weighs as much as ten of a hundred VCPU."""
    shapes = [waiting("a", GPU, 1, 2, owner="a"), waiting("c", ONE, *range(3, 9), owner="c")]
    assert order(*shapes) == [1, 3, 4, 5, 6, 7, 8, 2]
    assert order(*shapes, past_usage={"c": {"VCPU": 9}}) == [1, 3, 2, 4, 5, 6, 7, 8]


def test_a_job_moved_by_hand_keeps_its_place_among_the_others() -> None:
    """Its owner may have used much: two jobs go before it, and it goes third."""
    heavy, light = waiting("a", ONE, 1, 2, 9, owner="a"), waiting("c", ONE, 3, 4, owner="c")
    moved = waiting("m", GPU, 8, owner="a")
    moved = replace(moved, heads=(Head(8, "r8", 2, own_priority=True),))
    past_usage = {"a": {"VCPU": 50.0}}
    assert order(heavy, light, moved, past_usage=past_usage) == [3, 4, 8, 1, 2, 9]


def test_equal_priorities_that_were_given_are_ordered_by_share() -> None:
    """Clients may make groups of jobs by a common priority; owners share within each group."""
    shapes = [
        replace(
            shape, heads=tuple(structs.replace(head, own_priority=True) for head in shape.heads)
        )
        for shape in (
            waiting("a", ONE, 1, 2, owner="a", priority=0),
            waiting("c", ONE, 3, 4, owner="c", priority=0),
            waiting("d", ONE, 9, owner="d", priority=-1),
        )
    ]
    assert order(*shapes) == [9, 1, 3, 2, 4]


def test_an_owner_whose_jobs_do_not_fit_does_not_hold_up_the_others() -> None:
    """A shape that waits gives up its places, and the next owner's jobs are granted."""
    big = waiting("a", demand(instance(VCPU=101)), 1, 2, owner="a")
    given_one = waiting("m", ONE, 3, owner="b")
    given_one = replace(given_one, heads=(Head(3, "r3", 3, own_priority=True),))
    assert order(big, given_one, waiting("c", ONE, 4, owner="c")) == [3, 4]


def test_of_one_shape_both_kinds_of_jobs_are_granted() -> None:
    """A shape may have jobs of both kinds; each kind goes in its own order."""
    mixed = waiting("a", ONE, 1, 2, 4, 5, owner="a")
    heads = tuple(structs.replace(head, own_priority=head.id == 4) for head in mixed.heads)
    light = waiting("c", ONE, 3, owner="c")
    past_usage = {"a": {"VCPU": 9.0}}
    assert order(replace(mixed, heads=heads), light, past_usage=past_usage) == [3, 1, 2, 4, 5]
