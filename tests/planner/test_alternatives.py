"""Alternatives, and jobs of as many instances as fit: grants, reasons, reservations, forecasts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rq_broker.domain.capacity import Host
from rq_broker.domain.choices import Elastic
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import (
    IMAGINED,
    ReasonCode,
    beyond_limits,
    could_ever_fit,
    explain,
    plan,
    with_imagined_job,
)
from tests.planner.forecasting.lines import HOUR, forecasts, history
from tests.planner.oracle import HERE, demand, hold, host, instance, reserved, snapshot_of, waiting

OLD, NEW = instance(A100=8), instance(H100=4)
FOUR = instance(VCPU=4)


def either(first: Demand, *others: Demand, prefer_for: int = 0) -> Demand:
    """Build a demand with alternatives; `prefer_for` in ms."""
    return replace(first, alternatives=others, prefer_for=prefer_for)


def between(least: int, most: int, kind: Any = FOUR, **fields: Any) -> Demand:
    """Build a demand for so many alike instances."""
    wanted = demand(*(kind,) * least, **fields)
    return replace(wanted, elastic=Elastic(0, most - least))


def preferring(wanted: Demand, until: float) -> WaitingShape:
    """Build the only job of a demand, whose alternatives count from a time on."""
    head = Head(1, "r1", 1, prefers_until=until)
    return WaitingShape("a", Shape(wanted, "lab", HERE), (head,), 1)


def grant_of(hosts: list[Host], wanted: Demand, **fields: Any) -> Grant | None:
    """Return the grant of the only job, None if it waits."""
    grants = plan(snapshot_of(hosts, [waiting("a", wanted, 1)], **fields)).grants
    return grants[0] if grants else None


def size_of(hosts: list[Host], wanted: Demand, **fields: Any) -> int:
    """Return how many instances the only job is granted."""
    grant = grant_of(hosts, wanted, **fields)
    return len(grant.hosts) if grant else 0


def gpus(a100: int, h100: int, **fields: Any) -> list[Host]:
    """Build a host of each kind of GPU with so many free."""
    return [
        host("a1", {"A100": 8}, used={"A100": 8 - a100}, **fields),
        host("h1", {"H100": 8}, used={"H100": 8 - h100}),
    ]


def test_the_first_alternative_that_fits_is_granted() -> None:
    """8 × A100, or else 4 × H100: whichever is free, the former if both are."""
    wanted = either(demand(OLD), demand(NEW))
    for hosts, alternative, names in (
        (gpus(8, 8), 0, ("a1",)),
        (gpus(7, 4), 1, ("h1",)),
        (gpus(8, 0), 0, ("a1",)),
    ):
        grant = grant_of(hosts, wanted)
        assert grant is not None
        assert (grant.alternative, grant.hosts) == (alternative, names)
        assert grant.demand == wanted.options[alternative]
    assert grant_of(gpus(7, 3), wanted) is None


def test_spread_or_else_packed() -> None:
    """A job may ask for hosts of its own for its instances, and do with one host."""
    wanted = either(demand(FOUR, FOUR, spread=True), demand(FOUR, FOUR))
    small, large = host("small", {"VCPU": 4}), host("large", {"VCPU": 16})
    spread, packed = grant_of([small, large], wanted), grant_of([large], wanted)
    assert spread
    assert packed
    assert (spread.alternative, set(spread.hosts)) == (0, {"small", "large"})
    assert (packed.alternative, packed.hosts) == (1, ("large", "large"))


def test_others_count_once_the_preference_has_ended() -> None:
    """Until then the job waits for its first alternative though another one would fit."""
    wanted = either(demand(OLD), demand(NEW), prefer_for=5000)
    early = plan(snapshot_of(gpus(0, 8), [preferring(wanted, 1001.0)]))
    assert early.grants == ()
    assert early.reasons["a"].text == (
        "alternative 0: needs A100 8 on one host; the most free is 0 on a1; "
        "other alternatives count from 00:16 UTC"
    )
    late = plan(snapshot_of(gpus(0, 8), [preferring(wanted, 1000.0)]))
    assert [grant.alternative for grant in late.grants] == [1]


def test_a_reason_says_what_each_alternative_lacks() -> None:
    """What is too large for any host is told as such beside what is only taken now."""
    wanted = either(demand(instance(A100=9)), demand(NEW), demand(NEW, aggregate="x"))
    reason = plan(snapshot_of(gpus(0, 3), [waiting("a", wanted, 1)])).reasons["a"]
    assert reason.code is ReasonCode.NO_FIT
    assert reason.text == (
        "alternative 0: no host could ever hold this: needs A100 9 on one host; the largest is "
        "8 on a1; alternative 1: needs H100 4 on one host; the most free is 3 on h1; "
        "alternative 2: there is no known host of aggregate x"
    )
    many = either(demand(OLD), *(demand(NEW),) * 4)
    text = plan(snapshot_of(gpus(0, 3), [waiting("a", many, 1)])).reasons["a"].text
    assert text.endswith("; and so for 2 more")


def test_a_job_is_impossible_where_each_alternative_is() -> None:
    """One possible alternative is enough; limits count each of them for itself."""
    hosts = {host.name: host for host in gpus(8, 8)}
    too_much = demand(instance(H100=9))
    assert could_ever_fit(hosts, either(too_much, demand(OLD))) is None
    reason = could_ever_fit(hosts, either(too_much, too_much))
    assert reason
    assert reason.code is ReasonCode.IMPOSSIBLE
    assert reason.text.count("no host could ever hold this") == 2
    limits = {"*": {"A100": 4}}
    assert beyond_limits(limits, "lab", either(demand(OLD), demand(NEW))) is None
    beyond = beyond_limits(limits, "lab", either(demand(OLD), demand(OLD)))
    assert beyond
    assert beyond.text.startswith("alternative 0: needs A100 8, but its owner lab may hold 4")


def test_a_limit_counts_what_the_alternative_takes() -> None:
    """A job over its owner's limit in one alternative is granted another, and counted by that."""
    wanted = either(demand(OLD), demand(NEW))
    policy = Policy(limits={"*": {"A100": 7, "H100": 4}})
    planned = plan(snapshot_of(gpus(8, 8), [waiting("a", wanted, 1, 2)], policy=policy))
    assert [grant.alternative for grant in planned.grants] == [1]
    assert planned.reasons["a"].code is ReasonCode.OWNER_LIMIT
    assert planned.reasons["a"].text == (
        "alternative 0: needs A100 8, but its owner lab may hold 7 at most: it can never be "
        "granted while that limit stands; alternative 1: needs H100 4, but its owner lab may "
        "hold 4 and holds 4"
    )


def test_the_alternative_that_can_start_first_is_reserved() -> None:
    """A job passed too long gets capacity in time for the alternative that fits the earliest."""
    hosts = [host(name, {"VCPU": 4}, name, held={"VCPU": 4}) for name in ("a", "b")]
    holds = (hold("y", 1100.0, b=4), hold("x", 1200.0, a=4))
    wanted = either(demand(FOUR, aggregate="a"), demand(FOUR, aggregate="b"))
    policy = Policy(patience=0.0)
    snapshot = snapshot_of(hosts, [waiting("a", wanted, 1)], holds=holds, policy=policy)
    assert reserved(plan(snapshot)) == {"r1": (1100.0, {"b"})}
    explanation = explain(snapshot, "a")
    assert (explanation.hosts, explanation.alternative) == (("b",), 1)
    assert explanation.usable_hosts == {"a", "b"}
    assert explanation.reason
    assert explanation.reason.text.endswith(
        "reserved on b from about 00:18 UTC, when y is expected to end"
    )
    snapshot = snapshot_of(hosts, [preferring(wanted, 2000.0)], holds=holds, policy=policy)
    assert reserved(plan(snapshot)) == {"r1": (1200.0, {"a"})}


def test_an_explanation_and_a_what_if_name_the_alternative() -> None:
    """Where a pass would grant a job now, it says as which alternative."""
    wanted = either(demand(OLD), demand(NEW), prefer_for=1000)
    snapshot = snapshot_of(gpus(0, 8), [preferring(wanted, 0.0)])
    granted = explain(snapshot, "a")
    assert (granted.reason, granted.hosts, granted.alternative) == (None, ("h1",), 1)
    imagined = with_imagined_job(snapshot_of(gpus(0, 8), []), Shape(wanted, "lab", HERE))
    waits = explain(imagined, IMAGINED)
    assert waits.reason
    assert "other alternatives count from" in waits.reason.text
    assert explain(snapshot_of(gpus(8, 0), [waiting("a", demand(OLD), 1)]), "a").alternative is None


def test_as_many_instances_as_fit_are_granted() -> None:
    """Between the least and the most, whatever is free; less than the least is not granted."""
    hosts = [host("h1", {"VCPU": 9}), host("h2", {"VCPU": 8}, "x")]
    assert size_of(hosts, between(2, 8)) == 4
    assert size_of(hosts, between(2, 3)) == 3
    assert size_of(hosts, between(4, 5)) == 4
    assert size_of(hosts, between(5, 8)) == 0
    assert size_of(hosts, between(1, 8, aggregate="x")) == 2
    assert size_of(hosts, between(1, 8, spread=True)) == 2
    assert size_of(hosts, between(1, 8), policy=Policy(limits={"*": {"VCPU": 13}})) == 3


def test_hosts_of_an_elastic_kind_stand_at_its_place() -> None:
    """The hosts are in the order of the instances, however many there are of one kind."""
    wanted = demand(instance(GPU=1), FOUR, instance(Disk=1))
    wanted = replace(wanted, elastic=Elastic(1, 7))
    hosts = [host("g", {"GPU": 1}), host("v", {"VCPU": 12}), host("d", {"Disk": 1})]
    grant = grant_of(hosts, wanted)
    assert grant
    assert grant.hosts == ("g", "v", "v", "v", "d")
    assert grant.demand.instances == (instance(GPU=1), FOUR, FOUR, FOUR, instance(Disk=1))


def test_growing_leaves_what_is_reserved() -> None:
    """A job that ends too late takes no more instances than stay free beside a reservation."""
    hosts = [host("h1", {"VCPU": 16}, held={"VCPU": 4})]
    shapes = [
        waiting("a", demand(instance(VCPU=14)), 1),
        waiting("b", between(1, 8, instance(VCPU=1)), 2),
    ]
    holds = (hold("x", 1100.0, h1=4),)
    planned = plan(snapshot_of(hosts, shapes, holds=holds, policy=Policy(patience=0.0)))
    assert [len(grant.hosts) for grant in planned.grants] == [2]


def test_the_size_of_what_is_granted_is_learnt() -> None:
    """A grant has the size class of its instances, not that of the least."""
    hosts = [host("h1", {"VCPU": 16})]
    grant = grant_of(hosts, between(1, 4))
    assert grant
    assert (len(grant.hosts), grant.size) == (4, 0)
    one = grant_of(hosts, demand(FOUR))
    assert one
    assert one.size == -2


def test_a_reason_says_at_least_how_many() -> None:
    """An elastic job that waits is told what the least is."""
    hosts = [host("h1", {"VCPU": 4})]
    reason = plan(snapshot_of(hosts, [waiting("a", between(2, 4), 1)])).reasons["a"]
    assert "needs at least 2 instances of VCPU 4 at once; 1 would fit" in reason.text
    explanation = explain(snapshot_of(hosts, [waiting("a", between(2, 4), 1)]), "a")
    assert explanation.largest
    assert explanation.largest.instances == 1


def test_forecasts_let_a_job_start_as_any_alternative() -> None:
    """In simulated futures the first that fits starts; others only once they count."""
    hosts = [
        host("a", {"VCPU": 4}, "a", held={"VCPU": 4}),
        host("b", {"VCPU": 4}, "b", held={"VCPU": 4}),
    ]
    holds = (hold("x", 1100.0, b=4),)
    first, second = demand(FOUR, aggregate="a"), demand(FOUR, aggregate="b")
    known = history([100.0] * 10)

    def wait_of(shape: WaitingShape, *places: Host) -> float | None:
        return forecasts(snapshot_of(places, [shape], holds=holds, history=known))[1].p50

    assert wait_of(waiting("a", either(first, second), 1), *hosts) is not None
    assert wait_of(waiting("a", first, 1), *hosts) is None
    free = host("b", {"VCPU": 4}, "b")
    assert wait_of(preferring(either(first, second), 0.0), hosts[0], free) == 0.0
    assert wait_of(preferring(either(first, second), 1030.0), hosts[0], free) == 30.0


def test_forecasts_let_elastic_jobs_take_what_fits() -> None:
    """In simulated futures an elastic job takes all that is free, so the next one waits."""
    hosts = [host("h1", {"VCPU": 16})]
    shapes = [waiting("a", between(1, 4), 1), waiting("b", demand(FOUR), 2)]
    snapshot = snapshot_of(hosts, shapes, history=history(HOUR))
    waits = forecasts(snapshot)
    assert (waits[1].p50, waits[2].p50) == (0.0, 3600.0)
    limited = snapshot_of(
        hosts, shapes, history=history(HOUR), policy=Policy(limits={"*": {"VCPU": 12}})
    )
    assert forecasts(limited)[2].p50 == 3600.0
    small = [waiting("a", between(1, 3), 1), shapes[1]]
    assert forecasts(snapshot_of(hosts, small, history=history(HOUR)))[2].p50 == 0.0
