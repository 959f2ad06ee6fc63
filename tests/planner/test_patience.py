"""Patience: which jobs may pass which, for how long, and what is kept for one passed too long."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.planning import Protection
from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, explain, plan
from tests.planner.oracle import (
    demand,
    granted,
    host,
    instance,
    name_of,
    newly_passed,
    protection,
    snapshot_of,
    waiting,
)

BIG, SMALL = demand(instance(VCPU=8)), demand(instance(VCPU=1))
BIG_THEN_SMALL = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
FINITE = Policy(patience=60.0)


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
    assert planned.protection is None
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


@pytest.mark.parametrize("patience", [0.0, 60.0, None])
def test_an_impossible_job_is_neither_passed_nor_protected_nor_in_the_way(
    patience: float | None,
) -> None:
    """What no host could ever hold delays no other job, with any patience."""
    shapes = [waiting("never", demand(instance(VCPU=9)), 1), waiting("small", SMALL, 2)]
    hosts, policy = [busy("h1", 4)], Policy(patience=patience)
    planned = plan(snapshot_of(hosts, shapes, policy=policy, passed=passed_long_ago(1)))
    assert granted(planned) == [2]
    assert (newly_passed(planned), planned.protection) == (set(), None)
    assert newly_passed(plan(snapshot_of(hosts, shapes, policy=policy))) == set()
    assert planned.reasons["never"].code is ReasonCode.IMPOSSIBLE


def test_strict_order_waits_for_the_first_job_and_names_it() -> None:
    """patience 0: a later job that would fit waits, with a reason that names the one before it."""
    planned = plan(snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=Policy(patience=0.0)))
    assert granted(planned) == []
    assert planned.reasons["small"].code is ReasonCode.STRICT_ORDER
    assert "r1" in planned.reasons["small"].text
    assert planned.reasons["big"].code is ReasonCode.NO_FIT


def test_strict_order_does_not_reach_beyond_the_aggregate() -> None:
    """patience 0: hosts outside the first job's aggregate stay open to later jobs."""
    gpu = demand(instance(VCPU=8), aggregate="gpu")
    hosts = [busy("h1", 4, "gpu"), busy("h2", 4)]
    shapes = [waiting("big", gpu, 1), waiting("small", SMALL, 2, 3, 4, 5, 6)]
    planned = plan(snapshot_of(hosts, shapes, policy=Policy(patience=0.0)))
    assert {grant.hosts for grant in planned.grants} == {("h2",)}
    assert granted(planned) == [2, 3, 4, 5]


def test_patience_null_never_protects() -> None:
    """Best effort lets later jobs pass for ever."""
    policy, passed = Policy(patience=None), passed_long_ago(1)
    planned = plan(snapshot_of([busy("h1", 4)], BIG_THEN_SMALL, policy=policy, passed=passed))
    assert granted(planned) == [2]
    assert planned.protection is None


def test_a_job_passed_too_long_is_protected_where_least_is_missing() -> None:
    """The host nearest to fitting is kept; later jobs use the others, to the last unit."""
    hosts = [busy("h1", 6), busy("h2", 1), busy("h3", 7)]
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, *range(2, 12))]
    planned = plan(snapshot_of(hosts, shapes, policy=FINITE, passed=passed_long_ago(1)))
    assert planned.protection == protection(1, "h2")
    assert sorted(grant.hosts[0] for grant in planned.grants) == ["h1", "h1", "h3"]
    assert planned.reasons["small"].code is ReasonCode.PROTECTED_OTHER
    assert "r1" in planned.reasons["small"].text
    assert planned.reasons["big"].code is ReasonCode.NO_FIT


def test_later_jobs_get_of_a_kept_host_only_what_the_protected_job_leaves() -> None:
    """On a kept host they get what is free beyond the need, and other resources."""
    hosts = [host("h1", {"VCPU": 8, "GPU": 2}, held={"VCPU": 2})]
    shapes = [
        waiting("big", demand(instance(VCPU=7)), 1),
        waiting("small", SMALL, 2),
        waiting("gpu", demand(instance(GPU=1)), 3),
    ]
    planned = plan(snapshot_of(hosts, shapes, policy=FINITE, passed=passed_long_ago(1)))
    assert granted(planned) == [3]
    roomy = [host("h1", {"VCPU": 12}, held={"VCPU": 4}), host("h2", {"VCPU": 12}, held={"VCPU": 9})]
    pair = demand(instance(VCPU=6), instance(VCPU=6))
    shapes = [waiting("pair", pair, 1), waiting("small", SMALL, *range(2, 12))]
    planned = plan(snapshot_of(roomy, shapes, policy=FINITE, passed=passed_long_ago(1)))
    assert planned.protection is not None
    kept = planned.protection.hosts
    assert all(grant.hosts[0] not in kept or grant.hosts[0] == "h1" for grant in planned.grants)


def test_a_protected_gang_keeps_as_few_hosts_as_it_can() -> None:
    """Where as much is missing either way, its instances share a host."""
    pair = demand(instance(VCPU=2), instance(VCPU=2))
    hosts = [busy("h1", 8), busy("h2", 8), busy("h3", 8)]
    shapes = [waiting("pair", pair, 1)]
    planned = plan(snapshot_of(hosts, shapes, policy=FINITE, passed=passed_long_ago(1)))
    assert planned.protection is not None
    assert len(planned.protection.hosts) == 1


def test_protection_does_not_flap_while_it_can_serve() -> None:
    """A kept host stays kept though another comes nearer; it moves only when it cannot serve."""
    kept, passed = protection(1, "h1"), passed_long_ago(1)
    hosts = [busy("h1", 7), busy("h2", 1)]
    near = snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, passed=passed, protection=kept)
    assert plan(near).protection == kept
    dropped = replace(near.hosts["h1"], dropped=True)
    moved = plan(replace(near, hosts={**near.hosts, "h1": dropped})).protection
    assert moved == protection(1, "h2")


def test_the_protected_job_takes_any_hosts_that_fit_first() -> None:
    """Protection ends with the grant, wherever the job fits, even outside the kept hosts."""
    kept, passed = protection(1, "h1"), passed_long_ago(1)
    hosts = [busy("h1", 4), busy("h2", 0)]
    planned = plan(
        snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, passed=passed, protection=kept)
    )
    assert [grant.hosts for grant in planned.grants] == [("h2",), ("h1",)]
    assert planned.protection is None


def test_an_operators_reorder_beats_protection() -> None:
    """A job put before the protected one takes what it needs; one passed too long takes over."""
    fields: dict[str, Any] = {"policy": FINITE, "protection": protection(2, "h1")}
    shapes = [waiting("small", SMALL, 1), waiting("big", BIG, 2)]
    planned = plan(snapshot_of([busy("h1", 4)], shapes, passed=passed_long_ago(2), **fields))
    assert granted(planned) == [1]
    shapes = [waiting("other", demand(instance(VCPU=7)), 1), waiting("big", BIG, 2)]
    planned = plan(snapshot_of([busy("h1", 4)], shapes, passed=passed_long_ago(1, 2), **fields))
    assert planned.protection == protection(1, "h1")


def test_a_job_that_is_gone_is_not_protected_any_more() -> None:
    """Protection of a job no longer among the heads ends, and its hosts are open."""
    shapes, kept = [waiting("small", SMALL, 8)], protection(7, "h1")
    planned = plan(snapshot_of([busy("h1", 4)], shapes, protection=kept))
    assert granted(planned) == [8]
    assert planned.protection is None


def test_a_job_submitted_again_by_the_same_name_inherits_no_hosts() -> None:
    """Hosts are kept for a job's ID: its successor by name is protected where it is best now."""
    earlier = Protection(9, name_of(1), frozenset({"h1"}))
    hosts, passed = [busy("h1", 7), busy("h2", 1)], passed_long_ago(1)
    planned = plan(
        snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, passed=passed, protection=earlier)
    )
    assert planned.protection == protection(1, "h2")


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


def test_a_steady_stream_cannot_starve_a_gang_and_the_kept_hosts_only_shrink() -> None:
    """Jobs that hold one host each for long arrive for ever: the gang starts once they end."""
    rng = Random(7)
    gang = waiting("gang", demand(*[instance(VCPU=8)] * 3), 1)
    holds = {f"h{n}": [(rng.randint(1, 60), 4)] for n in range(6)}
    kept: Protection | None = None
    next_id = 2
    for now in range(100, 400):
        for name, ends in holds.items():
            holds[name] = [(left - 1, amount) for left, amount in ends if left > 1]
        hosts = [busy(name, sum(amount for _, amount in ends)) for name, ends in holds.items()]
        small = waiting("small", demand(instance(VCPU=4)), *range(next_id, next_id + 20))
        fields: dict[str, Any] = {"passed": {name_of(1): 0.0}, "protection": kept}
        planned = plan(snapshot_of(hosts, [gang, small], float(now), policy=FINITE, **fields))
        if 1 in granted(planned):
            break
        assert planned.protection is not None
        assert kept is None or planned.protection.hosts <= kept.hosts
        kept = planned.protection
        for grant in planned.grants:
            holds[grant.hosts[0]].append((rng.randint(1, 60), 4))
        next_id += len(planned.grants)
    assert now <= 160
    assert next_id > 5


def test_the_explanation_of_a_protected_job_names_its_hosts() -> None:
    """`explain` shows what is kept, since when the job is passed, and what is missing there."""
    hosts, passed = [busy("h1", 6), busy("h2", 1)], passed_long_ago(1)
    snapshot = snapshot_of(hosts, BIG_THEN_SMALL, policy=FINITE, passed=passed)
    explanation = explain(snapshot, "big")
    assert explanation.protected
    assert (explanation.hosts, explanation.passed_since) == (("h2",), 0.0)
    (lack,) = explanation.shortfalls
    assert (lack.host, lack.resource, lack.needed, lack.free) == ("h2", "VCPU", 8, 7)
    assert explanation.passed_by == ("r2",)
