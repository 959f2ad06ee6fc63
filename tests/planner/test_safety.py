"""The planner compared with brute force: it is always safe, and exact where it can be."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings

from rq_broker.domain.devices import NO_DEVICES, amounts_by_host, by_device
from rq_broker.domain.planning import Grant, Snapshot
from rq_broker.planner import ReasonCode, could_ever_fit, plan
from tests.planner.oracle import (
    SEEDS,
    FreeByHost,
    brute_force,
    demand,
    fits_at,
    free_of,
    granted,
    host,
    in_order,
    instance,
    is_usable,
    random_choices,
    random_hosts,
    snapshot_of,
    snapshots,
    take,
    waiting,
    with_more,
)
from tests.reasons import received, sent

MANY = settings(max_examples=400, deadline=None)


@MANY
@given(snapshots())
def test_every_grant_keeps_capacity_aggregate_spread_and_wholeness(snapshot: Snapshot) -> None:
    """No pass oversells a host, leaves aggregates or traits, shares spread hosts, splits gangs."""
    free = free_of(snapshot)
    allowed = {id_: options for _, id_, _, options in in_order(snapshot)}
    for grant in plan(snapshot).grants:
        option = allowed[grant.head.id][grant.alternative]
        more = len(grant.hosts) - len(option.instances)
        assert 0 <= more <= (option.elastic.more if option.elastic else 0)
        demand = with_more(option, more) if option.elastic else option
        assert grant.demand == demand
        assert fits_at(snapshot, free, demand, grant.hosts)
        assert grant.shape.receiver not in snapshot.closed
        assert_devices(snapshot, free, grant)
        take(free, grant)


def assert_devices(snapshot: Snapshot, free: FreeByHost, grant: Grant) -> None:
    """Expect for each instance a free device, or whole ones, of each resource in devices."""
    choices = grant.devices or [NO_DEVICES] * len(grant.hosts)
    for name, own, choice in zip(grant.hosts, grant.demand.instances, choices, strict=True):
        devices = snapshot.hosts[name].devices
        assert choice.keys() == devices.keys() & dict(own).keys()
        for resource, numbers in choice.items():
            amount = dict(own)[resource]
            assert len(set(numbers)) == len(numbers)
            if len(numbers) > 1:
                assert {devices[resource][n] for n in numbers} == {amount // len(numbers)}
            assert amount % len(numbers) == 0
    for name, amounts in amounts_by_host(
        grant.hosts, grant.demand.instances, grant.devices
    ).items():
        for resource, amount in amounts.items():
            if "/" in resource:
                assert free[name][resource] >= amount


@MANY
@given(snapshots())
def test_no_grant_exceeds_its_owners_limit(snapshot: Snapshot) -> None:
    """An owner's usage and its grants of this pass together stay within the policy's limits."""
    usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
    limits = snapshot.policy.limits
    for grant in plan(snapshot).grants:
        held, needed = usage[grant.shape.owner], set[str]()
        for amounts in grant.demand.instances:
            for resource, amount in amounts:
                held[resource] = held.get(resource, 0) + amount
                needed.add(resource)
        limit = limits.get(grant.shape.owner, limits.get("*", {}))
        assert all(held[resource] <= limit[resource] for resource in needed & set(limit))


@MANY
@given(snapshots())
def test_jobs_of_one_shape_go_strictly_in_order(snapshot: Snapshot) -> None:
    """A shape's grants are its first heads, of each kind while the policy shares; the values of
    the reason of the others are enough to write its sentence."""
    planned = plan(snapshot)
    kinds = ((True,), (False,)) if snapshot.policy.share else ((True, False),)
    for shape in snapshot.waiting:
        heads = [grant.head for grant in planned.grants if grant.head in shape.heads]
        for kind in kinds:
            granted_ones = [head for head in heads if head.own_priority in kind]
            of_kind = [head for head in shape.heads if head.own_priority in kind]
            assert granted_ones == of_kind[: len(granted_ones)]
        assert (shape.digest in planned.reasons) == (len(heads) < shape.count)
        if len(heads) < shape.count:
            reason = planned.reasons[shape.digest]
            assert received(sent(reason), snapshot.now).text == reason.text


@MANY
@given(snapshots(patience=(None,), strict_order=(False,), extras=False))
def test_best_effort_skips_only_what_no_placement_fits(snapshot: Snapshot) -> None:
    """Each job is granted, as its first alternative that brute force can place, and only then."""
    planned = plan(snapshot)
    grants = {grant.head.id: grant for grant in planned.grants}
    free, blocked = free_of(snapshot), set()
    for _, id_, digest, options in in_order(snapshot):
        if id_ in grants:
            assert digest not in blocked
            for better in options[: grants[id_].alternative]:
                assert brute_force(snapshot, free, better) is None
            before = {name: dict(row) for name, row in free.items()}
            take(free, grants[id_])
            _check_size(snapshot, before, grants[id_])
        elif digest not in blocked:
            blocked.add(digest)
            for wanted in options:
                assert brute_force(snapshot, free, wanted) is None
            code = planned.reasons[digest].code
            assert code in (ReasonCode.NO_FIT, ReasonCode.IMPOSSIBLE)


def _check_size(snapshot: Snapshot, before: FreeByHost, grant: Grant) -> None:
    """Check that an elastic job has as many instances as fit: where all are alike, in any way."""
    option = grant.shape.demand.options[grant.alternative]
    if option.elastic is None:
        return
    more = len(grant.hosts) - len(option.instances)
    if more == option.elastic.more:
        return
    larger = with_more(option, more + 1)
    if len(set(larger.instances)) == 1:
        assert brute_force(snapshot, before, larger) is None
    at, kept = option.elastic.index, grant.hosts
    for name in sorted(snapshot.hosts):
        assert not fits_at(snapshot, before, larger, (*kept[:at], name, *kept[at:]))


@MANY
@given(snapshots(strict_order=(True,), extras=False))
def test_strict_order_lets_no_job_pass(snapshot: Snapshot) -> None:
    """In strict order no later job is granted a host of a waiting, possible job's aggregate."""
    planned = plan(snapshot)
    grants = {grant.head.id: grant for grant in planned.grants}
    closed_hosts, blocked = set[str](), set[str]()
    for _, id_, digest, options in in_order(snapshot):
        if id_ in grants:
            assert not closed_hosts & set(grants[id_].hosts)
        elif digest not in blocked and planned.reasons[digest].code is not ReasonCode.IMPOSSIBLE:
            blocked.add(digest)  # the first job of a shape decides for all that wait behind it
            closed_hosts |= {
                name
                for name, place in snapshot.hosts.items()
                for wanted in options
                if is_usable(wanted, place) and not could_ever_fit(snapshot.hosts, wanted)
            }


@MANY
@given(snapshots(patience=(0.0, 60.0), strict_order=(False,), extras=False))
def test_grants_leave_each_reservation_what_it_needs_when_it_begins(snapshot: Snapshot) -> None:
    """When a reservation begins, its hosts hold the job beside all grants that have not ended."""
    planned = plan(snapshot)
    demands = {id_: options for _, id_, _, options in in_order(snapshot)}
    for reservation in planned.reservations:
        all_free = free_of(snapshot)
        free = {name: all_free[name] for name in reservation.hosts}
        for hold in snapshot.holds:
            for name, amounts in hold.amounts.items() if hold.ends <= reservation.start else ():
                for resource, amount in amounts.items() if name in free else ():
                    free[name][resource] += amount
        for grant in planned.grants:
            holds_for = min(grant.prediction.hold, grant.prediction.strict_span)
            holds_for = min(holds_for, grant.prediction.span)
            if snapshot.now + holds_for > reservation.start:
                take(all_free, grant)
        kept = replace(snapshot, hosts={name: snapshot.hosts[name] for name in free})
        assert any(brute_force(kept, free, wanted) for wanted in demands[reservation.head.id])


@MANY
@given(SEEDS)
def test_impossible_is_only_said_of_what_empty_hosts_cannot_hold(seed: int) -> None:
    """`could_ever_fit` never contradicts brute force on empty hosts; for alike ones it is exact."""
    rng = Random(seed)
    snapshot = snapshot_of(random_hosts(rng, rng.randint(0, 4)), ())
    wanted = random_choices(rng)
    capacity = {
        name: {**place.capacity, **by_device(place.devices)}
        for name, place in snapshot.hosts.items()
    }
    placements = [brute_force(snapshot, capacity, option) for option in wanted.options]
    reason = could_ever_fit(snapshot.hosts, wanted)
    if reason is not None:
        assert placements == [None] * len(placements)
        assert reason.code is ReasonCode.IMPOSSIBLE
    elif all(len(set(option.instances)) == 1 for option in wanted.options):
        assert any(placement is not None for placement in placements)


@given(snapshots())
def test_a_plan_is_a_function_of_its_snapshot(snapshot: Snapshot) -> None:
    """The same snapshot gives the same plan, and planning changes nothing in it."""
    before = repr(snapshot)
    first, second = plan(snapshot), plan(snapshot)
    assert (first.grants, first.passed, first.promises) == (
        second.grants,
        second.passed,
        second.promises,
    )
    assert dict(first.reasons) == dict(second.reasons)
    assert repr(snapshot) == before


def test_an_instance_that_needs_nothing_fits_any_host_of_its_aggregate() -> None:
    """An empty demand is granted on a full host of the aggregate, and nowhere without a host."""
    full = host("h1", {"VCPU": 4}, "gpu", held={"VCPU": 9})
    nothing = waiting("a", demand(instance(), instance(), aggregate="gpu"), 1)
    assert granted(plan(snapshot_of([full], [nothing]))) == [1]
    assert granted(plan(snapshot_of([host("h1", {"VCPU": 4})], [nothing]))) == []
