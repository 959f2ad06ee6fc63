"""Patience: who may pass whom, for how long, and what is kept for the one passed too long."""

from dataclasses import replace
from random import Random

from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, plan
from rq_broker.planner.explaining import explain
from tests.planner.oracle import (
    demand,
    granted,
    host,
    name_of,
    need,
    newly_passed,
    protection,
    waiting,
    world,
)

BIG, SMALL = demand(need(VCPU=8)), demand(need(VCPU=1))
FINITE = Policy(patience=60.0)


def busy(name, held, *pools):
    return host(name, {"VCPU": 8}, *pools, held={"VCPU": held})


def late(*ids):
    return {name_of(id_): 0.0 for id_ in ids}


def test_a_job_that_does_not_fit_is_passed_and_the_clock_starts_once():
    """Within patience a later job goes ahead, and `passed` names the earlier one just once."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    snapshot = world([busy("h1", 4)], shapes, policy=FINITE)
    answer = plan(snapshot)
    assert granted(answer) == [2]
    assert newly_passed(answer) == {name_of(1)}
    assert answer.protection is None
    assert newly_passed(plan(replace(snapshot, passed={name_of(1): 950.0}))) == set()


def test_nobody_is_passed_when_nothing_is_granted_that_it_could_have_wanted():
    """A grant outside the waiting job's aggregate, or none at all, does not start its clock."""
    gpu = demand(need(VCPU=8), aggregate="gpu")
    cpu = demand(need(VCPU=1), aggregate="cpu")
    hosts = [busy("h1", 4, "gpu"), busy("h2", 4, "cpu")]
    answer = plan(world(hosts, [waiting("big", gpu, 1), waiting("small", cpu, 2)]))
    assert granted(answer) == [2]
    assert newly_passed(answer) == set()
    assert newly_passed(plan(world(hosts, [waiting("big", BIG, 1)]))) == set()


def test_an_impossible_job_is_neither_passed_nor_protected_nor_in_the_way():
    """What no host could ever hold delays nobody, with any patience."""
    never = demand(need(VCPU=9))
    for patience in (0.0, 60.0, None):
        shapes = [waiting("never", never, 1), waiting("small", SMALL, 2)]
        policy = Policy(patience=patience)
        answer = plan(world([busy("h1", 4)], shapes, policy=policy, passed=late(1)))
        assert granted(answer) == [2]
        assert (newly_passed(answer), answer.protection) == (set(), None)
        assert newly_passed(plan(world([busy("h1", 4)], shapes, policy=policy))) == set()
        assert answer.reasons["never"].code is ReasonCode.IMPOSSIBLE


def test_strict_order_waits_for_the_first_and_says_for_whom():
    """patience 0: a later job that would fit waits, with a reason naming the one before it."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    answer = plan(world([busy("h1", 4)], shapes, policy=Policy(patience=0.0)))
    assert granted(answer) == []
    assert answer.reasons["small"].code is ReasonCode.STRICT_ORDER
    assert "r1" in answer.reasons["small"].text
    assert answer.reasons["big"].code is ReasonCode.NO_FIT


def test_strict_order_does_not_reach_beyond_the_aggregate():
    """patience 0: hosts outside the first job's aggregate are never touched."""
    gpu = demand(need(VCPU=8), aggregate="gpu")
    hosts = [busy("h1", 4, "gpu"), busy("h2", 4)]
    shapes = [waiting("big", gpu, 1), waiting("small", SMALL, 2, 3, 4, 5, 6)]
    answer = plan(world(hosts, shapes, policy=Policy(patience=0.0)))
    assert {grant.hosts for grant in answer.grants} == {("h2",)}
    assert granted(answer) == [2, 3, 4, 5]


def test_patience_null_never_protects():
    """Best effort lets later jobs pass for ever."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    answer = plan(world([busy("h1", 4)], shapes, policy=Policy(patience=None), passed=late(1)))
    assert granted(answer) == [2]
    assert answer.protection is None


def test_the_overdue_job_is_protected_where_least_is_missing_and_backfill_goes_on_elsewhere():
    """The host nearest to fitting is kept; later jobs use the others, to the last unit."""
    hosts = [busy("h1", 6), busy("h2", 1), busy("h3", 7)]
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, *range(2, 12))]
    answer = plan(world(hosts, shapes, policy=FINITE, passed=late(1)))
    assert answer.protection == protection(1, "h2")
    assert sorted(grant.hosts[0] for grant in answer.grants) == ["h1", "h1", "h3"]
    assert answer.reasons["small"].code is ReasonCode.PROTECTED_OTHER
    assert "r1" in answer.reasons["small"].text
    assert answer.reasons["big"].code is ReasonCode.NO_FIT


def test_backfill_takes_of_a_kept_host_only_what_the_protected_job_leaves():
    """On a kept host later jobs get what is free beyond the need, and other resources."""
    places = [host("h1", {"VCPU": 8, "GPU": 2}, held={"VCPU": 2})]
    wants = demand(need(VCPU=7))
    shapes = [
        waiting("big", wants, 1),
        waiting("small", SMALL, 2),
        waiting("gpu", demand(need(GPU=1)), 3),
    ]
    assert granted(plan(world(places, shapes, policy=FINITE, passed=late(1)))) == [3]
    roomy = [host("h1", {"VCPU": 12}, held={"VCPU": 4}), host("h2", {"VCPU": 12}, held={"VCPU": 9})]
    pair = demand(need(VCPU=6), need(VCPU=6))
    shapes = [waiting("pair", pair, 1), waiting("small", SMALL, *range(2, 12))]
    answer = plan(world(roomy, shapes, policy=FINITE, passed=late(1)))
    assert answer.protection is not None
    kept = answer.protection.hosts
    assert all(grant.hosts[0] not in kept or grant.hosts[0] == "h1" for grant in answer.grants)


def test_a_protected_gang_keeps_as_few_hosts_as_it_can():
    """Where as much is missing either way, its instances share a host."""
    pair = demand(need(VCPU=2), need(VCPU=2))
    hosts = [busy("h1", 8), busy("h2", 8), busy("h3", 8)]
    answer = plan(world(hosts, [waiting("pair", pair, 1)], policy=FINITE, passed=late(1)))
    assert answer.protection is not None
    assert len(answer.protection.hosts) == 1


def test_protection_does_not_flap_while_it_can_serve():
    """A kept host stays kept though another comes nearer; it moves only when it cannot serve."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    kept = protection(1, "h1")
    near = world(
        [busy("h1", 7), busy("h2", 1)], shapes, policy=FINITE, passed=late(1), protection=kept
    )
    assert plan(near).protection == kept
    gone = replace(near.hosts["h1"], dropped=True)
    moved = plan(replace(near, hosts={**near.hosts, "h1": gone})).protection
    assert moved == protection(1, "h2")


def test_the_protected_job_takes_any_hosts_that_fit_first():
    """Protection ends with the grant, wherever it fits, even outside the kept hosts."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    kept = protection(1, "h1")
    snapshot = world(
        [busy("h1", 4), busy("h2", 0)], shapes, policy=FINITE, passed=late(1), protection=kept
    )
    answer = plan(snapshot)
    assert [grant.hosts for grant in answer.grants] == [("h2",), ("h1",)]
    assert answer.protection is None


def test_an_operators_reorder_beats_protection():
    """A job put before the protected one takes what it wants; an overdue one takes over."""
    kept = protection(2, "h1")
    shapes = [waiting("small", SMALL, 1), waiting("big", BIG, 2)]
    rest = {"policy": FINITE, "passed": late(2), "protection": kept}
    answer = plan(world([busy("h1", 4)], shapes, **rest))
    assert granted(answer) == [1]
    other = demand(need(VCPU=7))
    shapes = [waiting("other", other, 1), waiting("big", BIG, 2)]
    rest["passed"] = late(1, 2)
    answer = plan(world([busy("h1", 4)], shapes, **rest))
    assert answer.protection == protection(1, "h1")


def test_a_job_that_is_gone_is_not_protected_any_more():
    """Protection of a job no longer among the heads ends, and its hosts are open."""
    kept = protection(7, "h1")
    answer = plan(world([busy("h1", 4)], [waiting("small", SMALL, 8)], protection=kept))
    assert granted(answer) == [8]
    assert answer.protection is None


def test_an_owner_at_its_limit_has_room_kept_for_its_earliest_job():
    """Passed too long by its owner's others, a job has room kept below the cap; owners go on."""
    policy = Policy(patience=60.0, limits={"lab": {"VCPU": 4}})
    shapes = [
        waiting("four", demand(need(VCPU=4)), 1),
        waiting("one", SMALL, 2),
        waiting("ops", SMALL, 3, owner="ops"),
    ]
    snapshot = world([busy("h1", 0)], shapes, policy=policy, usage={"lab": {"VCPU": 2}})
    first = plan(snapshot)
    assert granted(first) == [2, 3]
    assert newly_passed(first) == {name_of(1)}
    second = plan(replace(snapshot, passed=late(1)))
    assert granted(second) == [3]
    assert second.reasons["one"].code is ReasonCode.OWNER_LIMIT
    assert "kept" in second.reasons["one"].text


def test_a_steady_stream_cannot_starve_a_gang_and_the_kept_hosts_only_shrink():
    """Jobs that hold one host each for long, arriving for ever: the gang goes once they end."""
    rng = Random(7)
    gang = demand(*[need(VCPU=8)] * 3)
    held = {f"h{n}": [(rng.randint(1, 60), 4)] for n in range(6)}
    passed, protection, kept, id_ = {name_of(1): 0.0}, None, None, 2
    for now in range(100, 400):
        for name, holds in held.items():
            held[name] = [(left - 1, n) for left, n in holds if left > 1]
        hosts = [busy(name, sum(n for _, n in holds)) for name, holds in held.items()]
        ids = range(id_, id_ + 20)
        shapes = [waiting("gang", gang, 1), waiting("small", demand(need(VCPU=4)), *ids)]
        answer = plan(
            world(hosts, shapes, now, policy=FINITE, passed=passed, protection=protection)
        )
        if 1 in granted(answer):
            break
        protection = answer.protection
        assert protection is not None
        assert kept is None or protection.hosts <= kept
        kept = protection.hosts
        for grant in answer.grants:
            held[grant.hosts[0]].append((rng.randint(1, 60), 4))
        id_ += len(answer.grants)
    assert now <= 160
    assert id_ > 5


def test_a_protected_job_is_told_its_hosts():
    """`explain` shows what is kept, since when it is passed, and what is still missing there."""
    shapes = [waiting("big", BIG, 1), waiting("small", SMALL, 2)]
    told = explain(
        world([busy("h1", 6), busy("h2", 1)], shapes, policy=FINITE, passed=late(1)), "big"
    )
    assert told.protected
    assert (told.hosts, told.passed_since) == (("h2",), 0.0)
    assert [(lack.host, lack.resource, lack.needed, lack.free) for lack in told.shortfalls] == [
        ("h2", "VCPU", 8, 7)
    ]
    assert told.passed_by == ("r2",)
