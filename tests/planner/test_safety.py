"""The planner against the brute-force oracle: safe always, and exact where it can be."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings

from rq_broker.planner import ReasonCode, could_ever_fit, plan
from tests.planner.oracle import (
    SEEDS,
    brute_force,
    demand,
    fits_at,
    free_of,
    granted,
    host,
    name_of,
    need,
    random_demand,
    random_hosts,
    take,
    waiting,
    world,
    worlds,
)

MANY = settings(max_examples=1000, deadline=None)


@MANY
@given(worlds())
def test_every_grant_keeps_capacity_aggregate_spread_and_wholeness(snapshot):
    """No pass oversells a host, leaves an aggregate, shares a spread host or splits a gang."""
    free = free_of(snapshot)
    for grant in plan(snapshot).grants:
        assert len(grant.hosts) == len(grant.shape.demand.instances)
        assert fits_at(snapshot, free, grant.shape.demand, grant.hosts)
        assert grant.shape.destination not in snapshot.closed
        take(free, grant)


@MANY
@given(worlds())
def test_no_grant_exceeds_its_owners_cap(snapshot):
    """Usage and this pass's grants of an owner together stay within the policy's limits."""
    holds = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
    limits = snapshot.policy.limits
    for grant in plan(snapshot).grants:
        mine, needed = holds[grant.shape.owner], set()
        for instance in grant.shape.demand.instances:
            for resource, amount in instance:
                mine[resource] = mine.get(resource, 0) + amount
                needed.add(resource)
        cap = limits.get(grant.shape.owner, limits.get("*", {}))
        assert all(mine[resource] <= cap[resource] for resource in needed & set(cap))


@MANY
@given(worlds())
def test_jobs_of_one_shape_go_strictly_in_order(snapshot):
    """The grants of a shape are a prefix of its heads, and a shape left waiting has a reason."""
    answer = plan(snapshot)
    for entry in snapshot.waiting:
        mine = [grant.head for grant in answer.grants if grant.head in entry.heads]
        assert mine == list(entry.heads[: len(mine)])
        assert (entry.digest in answer.reasons) == (len(mine) < entry.count)
        assert len(mine) == entry.count or answer.reasons[entry.digest].text


@MANY
@given(worlds(patience=(None,), extras=False))
def test_best_effort_skips_only_what_no_placement_fits(snapshot):
    """In order, each shape's job is granted exactly when brute force finds a placement for it."""
    answer = plan(snapshot)
    grants = {grant.head.id: grant for grant in answer.grants}
    line = sorted(
        (head.priority, head.id, entry.digest, entry.shape.demand)
        for entry in snapshot.waiting
        for head in entry.heads
    )
    free, stopped = free_of(snapshot), set()
    for _, id_, digest, wants in line:
        if id_ in grants:
            assert digest not in stopped
            take(free, grants[id_])
        elif digest not in stopped:
            stopped.add(digest)
            assert brute_force(snapshot, free, wants) is None
            assert answer.reasons[digest].code in (ReasonCode.NO_FIT, ReasonCode.IMPOSSIBLE)


@MANY
@given(worlds(patience=(0.0,), extras=False))
def test_strict_order_lets_nobody_pass(snapshot):
    """With patience 0 no later job is granted a host of a waiting, possible job's aggregate."""
    answer = plan(snapshot)
    grants = {grant.head.id: grant for grant in answer.grants}
    line = sorted(
        (head.priority, head.id, entry.digest, entry.shape.demand)
        for entry in snapshot.waiting
        for head in entry.heads
    )
    shut = set()
    for _, id_, digest, wants in line:
        if id_ in grants:
            assert not shut & set(grants[id_].hosts)
        elif answer.reasons[digest].code is not ReasonCode.IMPOSSIBLE:
            shut |= {
                name
                for name, place in snapshot.hosts.items()
                if wants.aggregate is None or wants.aggregate in place.aggregates
            }


@MANY
@given(worlds(patience=(60.0,), extras=False))
def test_later_jobs_leave_a_protected_job_what_it_needs_on_its_hosts(snapshot):
    """Once the holds it met have ended, the kept hosts hold the job beside all later grants."""
    answer = plan(snapshot)
    if answer.protection is None:
        return
    by_name = {
        name_of(head.id): (head, entry) for entry in snapshot.waiting for head in entry.heads
    }
    head, entry = by_name[answer.protection.request_id]
    free = {
        name: dict(replace(snapshot.hosts[name], held={}).free) for name in answer.protection.hosts
    }
    for grant in answer.grants:
        if (grant.head.priority, grant.head.id) > (head.priority, head.id):
            for name, instance in zip(grant.hosts, grant.shape.demand.instances, strict=True):
                for resource, amount in instance if name in free else ():
                    free[name][resource] -= amount
    kept = replace(snapshot, hosts={name: snapshot.hosts[name] for name in free})
    assert brute_force(kept, free, entry.shape.demand) is not None


@MANY
@given(SEEDS)
def test_impossible_is_only_said_of_what_empty_hosts_could_not_hold(seed):
    """`could_ever_fit` never contradicts brute force on empty hosts; for alike ones it is exact."""
    rng = Random(seed)
    snapshot = world(random_hosts(rng, rng.randint(0, 4)), ())
    wants = random_demand(rng)
    capacity = {name: dict(place.capacity) for name, place in snapshot.hosts.items()}
    truth = brute_force(snapshot, capacity, wants)
    said = could_ever_fit(snapshot.hosts, wants)
    if said is not None:
        assert truth is None
        assert said.code is ReasonCode.IMPOSSIBLE
    elif len(set(wants.instances)) == 1:
        assert truth is not None


@given(worlds())
def test_a_plan_is_a_function_of_its_snapshot(snapshot):
    """The same snapshot gives the same plan, and planning changes nothing in it."""
    before = repr(snapshot)
    first, second = plan(snapshot), plan(snapshot)
    assert (first.grants, first.passed, first.protection) == (
        second.grants,
        second.passed,
        second.protection,
    )
    assert dict(first.reasons) == dict(second.reasons)
    assert repr(snapshot) == before


def test_an_instance_that_needs_nothing_fits_any_host_of_its_aggregate():
    """An empty demand is granted on a full host of the aggregate, and nowhere without a host."""
    full = host("h1", {"VCPU": 4}, "gpu", held={"VCPU": 9})
    wants = demand(need(), need(), aggregate="gpu")
    assert granted(plan(world([full], [waiting("a", wants, 1)]))) == [1]
    assert granted(plan(world([host("h1", {"VCPU": 4})], [waiting("a", wants, 1)]))) == []
