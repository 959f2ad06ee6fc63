"""Plans that are final: a pass after their grants would decide nothing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from rq_broker.domain.devices import amounts_by_host
from rq_broker.domain.planning import Snapshot
from rq_broker.planner import Plan, plan
from tests.planner.device_oracle import with_held
from tests.planner.oracle import demand, host, instance, snapshot_of, snapshots, waiting

ONE = demand(instance(VCPU=1))


def _granted(snapshot: Snapshot, planned: Plan) -> Snapshot:
    """Return the snapshot after all grants of a plan."""
    hosts = dict(snapshot.hosts)
    usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
    for grant in planned.grants:
        held = amounts_by_host(grant.hosts, grant.demand.instances, grant.devices)
        for name, row in held.items():
            hosts[name] = with_held(hosts[name], row, 1)
        of_owner = usage.setdefault(grant.shape.owner, {})
        for amounts in grant.demand.instances:
            for resource, amount in amounts:
                of_owner[resource] = of_owner.get(resource, 0) + amount
    gone = {grant.head for grant in planned.grants}
    left = []
    for shape in snapshot.waiting:
        heads = tuple(head for head in shape.heads if head not in gone)
        count = shape.count - len(shape.heads) + len(heads)
        if count:
            left.append(replace(shape, heads=heads, count=count))
    return replace(snapshot, hosts=hosts, usage=usage, waiting=tuple(left))


@settings(max_examples=400, deadline=None)
@given(snapshots())
def test_after_a_final_plan_nothing_is_granted(snapshot: Snapshot) -> None:
    """The same jobs on what its grants leave get nothing, and none of them is passed."""
    planned = plan(snapshot)
    if planned.is_final:
        again = plan(_granted(snapshot, planned))
        assert again.grants == ()
        assert again.passed == ()
        assert again.promises == ()


def test_a_plan_is_final_unless_something_is_left_to_decide() -> None:
    """It is if all or none fit; not if jobs are hidden, or one was passed."""
    place, wide = host("h1", {"VCPU": 4}, used={"VCPU": 1}), demand(instance(VCPU=4))
    of_two = [waiting("a", ONE, 1, 2)]
    hidden = [replace(of_two[0], count=3)]
    passed = [waiting("b", wide, 1), waiting("a", ONE, 2)]
    plans = [plan(snapshot_of([place], shapes)) for shapes in (of_two, hidden, passed)]
    assert [planned.is_final for planned in plans] == [True, False, False]
