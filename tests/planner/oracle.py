"""Small types for the planner, and a brute-force answer to compare with: every placement, tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace as replace_struct

from rq_broker.domain.capacity import Host
from rq_broker.domain.choices import Elastic
from rq_broker.domain.devices import amounts_by_host
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Hold, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.traits import NO_TRAITS, Instance, Traits, instance_of, traits_of
from rq_broker.planner import Plan, Reason
from tests.planner.device_oracle import all_held, fit_on_devices, with_devices

RESOURCES = ("GPU", "Memory", "VCPU")
AGGREGATES = ("east", "gpu")
TRAITS = ("AVX", "NVME", "SLOW")
HERE = "http://here"
THERE = ("http://there lab", "http://there ops")
"""The other destination as each owner's jobs see it."""
FreeByHost = dict[str, dict[str, int]]

# Values


def instance(**amounts: int) -> Instance:
    """Build one instance: `instance(VCPU=4)`."""
    return tuple(sorted((resource, amount) for resource, amount in amounts.items() if amount))


def host(
    name: str,
    capacity: Mapping[str, int],
    *aggregates: str,
    used: Mapping[str, int] | None = None,
    held: Mapping[str, int] | None = None,
    dropped: bool = False,
    traits: Iterable[str] = (),
    anywhere: bool = False,
) -> Host:
    """Build a host."""
    return Host(
        name,
        capacity,
        used or {},
        held or {},
        frozenset(aggregates),
        dropped,
        traits=frozenset(traits),
        anywhere=anywhere,
    )


def demand(
    *instances: Instance,
    aggregate: str | None = None,
    spread: bool = False,
    any_aggregate: Iterable[str] = (),
    require: Iterable[str] = (),
    forbid: Iterable[str] = (),
) -> Demand:
    """Build what a job needs."""
    traits = Traits(tuple(require), tuple(forbid))
    return Demand(tuple(instances), aggregate, spread, tuple(any_aggregate), traits)


def traited(plain: Instance, require: Iterable[str] = (), forbid: Iterable[str] = ()) -> Instance:
    """Return an instance with traits of its own."""
    return instance_of(plain, Traits(tuple(require), tuple(forbid)))


def waiting(
    digest: str,
    wanted: Demand,
    *ids: int,
    owner: str = "lab",
    destination: str = HERE,
    count: int | None = None,
    priority: int | None = None,
) -> WaitingShape:
    """Build a shape whose jobs have these IDs; a job's priority is its ID unless one is given."""
    heads = tuple(Head(id_, name_of(id_), id_ if priority is None else priority) for id_ in ids)
    return WaitingShape(digest, Shape(wanted, owner, destination), heads, count or len(heads))


def snapshot_of(
    hosts: Iterable[Host],
    shapes: Iterable[WaitingShape],
    now: float = 1000.0,
    *,
    policy: Policy | None = None,
    **fields: Any,
) -> Snapshot:
    """Build a snapshot; `fields` are further ones of Snapshot."""
    by_name = {host.name: host for host in hosts}
    return Snapshot(by_name, tuple(shapes), policy or Policy(), now, **fields)


def name_of(id_: int) -> str:
    """Return the request_id of a job made by `waiting`."""
    return f"r{id_}"


def hold(name: str, ends: float, **hosts: int) -> Hold:
    """Build what a job holds on hosts, in VCPU: `hold("a", 1100.0, h1=4)`."""
    amounts = {host_name: {"VCPU": vcpus} for host_name, vcpus in hosts.items()}
    return Hold(name, "lab", 0.0, ends, amounts)


def reserved(plan: Plan) -> dict[str, tuple[float, set[str]]]:
    """Return the reservations: request_id → start time and hosts."""
    return {made.head.request_id: (made.start, set(made.hosts)) for made in plan.reservations}


# Answers


def granted(plan: Plan) -> list[int]:
    """List the IDs of the granted jobs, in order."""
    return [grant.head.id for grant in plan.grants]


def newly_passed(plan: Plan) -> set[str]:
    """Return the request_ids of the jobs newly passed."""
    return {head.request_id for head in plan.passed}


def known(reason: Reason | None) -> Reason:
    """Return a reason that must not be missing."""
    assert reason is not None
    return reason


# Brute force


def fits_at(snapshot: Snapshot, free: FreeByHost, wanted: Demand, hosts: Sequence[str]) -> bool:
    """Return whether instances on these hosts keep every rule, given what is free."""
    places = [name for name in hosts if not snapshot.hosts[name].anywhere]
    if wanted.spread and len(set(places)) < len(places):
        return False
    for name, own in zip(hosts, wanted.instances, strict=True):
        place = snapshot.hosts[name]
        if place.dropped or not _has(place, traits_of(own)):
            return False
        if not place.anywhere and not may_use(wanted, place):
            return False
    return _have_room(snapshot, free, wanted, hosts)


def _have_room(snapshot: Snapshot, free: FreeByHost, wanted: Demand, hosts: Sequence[str]) -> bool:
    needs: dict[tuple[str, str], list[int]] = {}
    for name, amounts in zip(hosts, wanted.instances, strict=True):
        max_unit = snapshot.hosts[name].max_unit
        for resource, amount in amounts:
            if amount > max_unit.get(resource, amount):
                return False
            needs.setdefault((name, resource), []).append(amount)
    for (name, resource), several in needs.items():
        sizes = tuple(snapshot.hosts[name].devices.get(resource, ()))
        left = tuple(free[name][f"{resource}/{number}"] for number in range(len(sizes)))
        if sizes and not fit_on_devices(sizes, left, tuple(several)):
            return False
        if not sizes and sum(several) > free[name].get(resource, 0):
            return False
    return True


def _has(place: Host, traits: Traits) -> bool:
    required = all(trait in place.traits for trait in traits.require)
    return required and not any(trait in place.traits for trait in traits.forbid)


def may_use(wanted: Demand, place: Host) -> bool:
    """Return whether a demand as a whole may use a host that is a place."""
    if wanted.aggregate and wanted.aggregate not in place.aggregates:
        return False
    if wanted.any_aggregate and not any(a in place.aggregates for a in wanted.any_aggregate):
        return False
    return _has(place, wanted.traits)


def is_usable(wanted: Demand, place: Host) -> bool:
    """Return whether an earlier job of this demand may keep a host from later ones."""
    if not place.anywhere:
        return may_use(wanted, place)
    return any(all(r in place.capacity for r, _ in one) for one in wanted.instances)


def brute_force(snapshot: Snapshot, free: FreeByHost, wanted: Demand) -> tuple[str, ...] | None:
    """Try every assignment of instances to hosts; return the first that fits."""
    for hosts in product(sorted(snapshot.hosts), repeat=len(wanted.instances)):
        if fits_at(snapshot, free, wanted, hosts):
            return hosts
    return None


def free_of(snapshot: Snapshot) -> FreeByHost:
    """Return what is free on every host before the pass."""
    return {name: place.free | place.device_free for name, place in snapshot.hosts.items()}


def take(free: FreeByHost, grant: Grant) -> None:
    """Subtract a grant from what is free."""
    held = amounts_by_host(grant.hosts, grant.demand.instances, grant.devices)
    for name, amounts in held.items():
        for resource, amount in amounts.items():
            free[name][resource] -= amount


def in_order(snapshot: Snapshot) -> list[tuple[int, int, str, tuple[Demand, ...]]]:
    """List the shown jobs as the planner must consider them: priority, ID, digest, what will do."""
    jobs = [
        (head.priority, head.id, shape.digest, counting(snapshot, shape, head))
        for shape in snapshot.waiting
        for head in shape.heads
    ]
    return sorted(jobs, key=lambda job: job[:2])


def counting(snapshot: Snapshot, shape: WaitingShape, head: Head) -> tuple[Demand, ...]:
    """Return the alternatives of a job that count now, in order of preference."""
    options = shape.shape.demand.options
    return options[:1] if head.prefers_until > snapshot.now else options


def with_more(wanted: Demand, more: int) -> Demand:
    """Return a demand with so many more of its elastic instances, and no choice left."""
    assert wanted.elastic is not None
    at, instances = wanted.elastic.index, list(wanted.instances)
    instances[at:at] = [instances[at]] * more
    return replace_struct(wanted, instances=tuple(instances), elastic=None)


# Random snapshots


def random_choices(rng: Random) -> Demand:
    """Draw a demand, perhaps an elastic one, perhaps with alternatives."""
    first, *others = (random_elastic(rng) for _ in range(rng.choices((1, 2, 3), (6, 2, 1))[0]))
    return replace_struct(first, alternatives=tuple(others))


def random_elastic(rng: Random) -> Demand:
    """Draw a demand of up to four instances, some of which it may have more or less of."""
    if rng.random() < 0.7:
        return random_demand(rng)
    fixed = random_demand(rng, 2)
    elastic = Elastic(rng.randrange(len(fixed.instances)), rng.randint(1, 2))
    return replace_struct(fixed, elastic=elastic)


def random_demand(rng: Random, most: int = 4) -> Demand:
    """Draw up to `most` instances, alike or mixed."""
    count = rng.randint(1, most)
    instances: tuple[Instance, ...]
    if rng.random() < 0.5:
        instances = (random_instance(rng),) * count
    else:
        instances = tuple(random_instance(rng) for _ in range(count))
    aggregate = rng.choices((None, *AGGREGATES, "nowhere"), (6, 2, 2, 1))[0]
    any_aggregate = rng.choices(((), AGGREGATES, ("gpu", "nowhere")), (6, 1, 1))[0]
    traits = random_traits(rng, 0.2)
    return Demand(instances, aggregate, rng.random() < 0.3, any_aggregate, traits)


def random_traits(rng: Random, share: float) -> Traits:
    """Draw traits to require and to forbid, none of them twice; in most draws none."""
    if rng.random() >= share:
        return NO_TRAITS
    named = rng.sample(TRAITS, rng.randint(1, 2))
    required = rng.randint(0, len(named))
    return Traits(tuple(sorted(named[:required])), tuple(sorted(named[required:])))


def random_instance(rng: Random) -> Instance:
    """Draw an instance that needs up to three resources, perhaps nothing."""
    most = rng.choice((2, 4, 8))
    plain = instance(**{r: rng.randint(0, most) for r in RESOURCES if rng.random() < 0.6})
    return instance_of(plain, random_traits(rng, 0.15))


def random_hosts(rng: Random, count: int, devices: float = 0.3) -> list[Host]:
    """Draw hosts; some are dropped, lack a resource, or have less than nothing free.

    Of so many, as a part of all, the GPUs are devices.
    """
    hosts = []
    for number in range(count):
        capacity = {r: rng.randint(0, 16) for r in RESOURCES if rng.random() < 0.9}
        used = {r: rng.randint(0, 3) for r in capacity if rng.random() < 0.4}
        held = {r: rng.randint(0, 4) for r in capacity if rng.random() < 0.4}
        aggregates = [aggregate for aggregate in AGGREGATES if rng.random() < 0.5]
        dropped = rng.random() < 0.1
        new = host(
            f"h{number}",
            capacity,
            *aggregates,
            used=used,
            held=held,
            dropped=dropped,
            traits=[trait for trait in TRAITS if rng.random() < 0.6],
            anywhere=rng.random() < 0.15,
        )
        max_unit = {r: rng.randint(1, 8) for r in capacity if rng.random() < 0.4}
        new = replace(new, max_unit=max_unit if rng.random() < 0.4 else {})
        hosts.append(with_devices(rng, new) if rng.random() < devices else new)
    return hosts


def random_head(rng: Random, priority: int, job_id: int, *, extras: bool) -> Head:
    """Draw the rest of a waiting job: whether its priority is its own, and what counts for it."""
    until = rng.choice((0.0, 0.0, 1000.0, 1001.0))
    return Head(job_id, name_of(job_id), priority, extras and rng.random() < 0.3, until)


def random_snapshot(
    seed: int,
    hosts: int,
    shapes: int,
    *,
    patience: Sequence[float | None] = (None, 0.0, 60.0),
    strict_order: Sequence[bool] = (False, False, True),
    extras: bool = True,
) -> Snapshot:
    """Draw a small snapshot; `extras` adds limits, shares, closed destinations, hidden jobs."""
    rng = Random(seed)
    drawn, id_ = [], 0
    for number in range(shapes):
        jobs = []
        for _ in range(rng.randint(1, 3)):
            id_ += 1
            jobs.append((rng.randint(-2, 2), id_))
        heads = tuple(random_head(rng, *job, extras=extras) for job in sorted(jobs))
        owner = rng.choice(("lab", "ops")) if extras else "lab"
        destination = rng.choice((HERE, HERE, "http://there")) if extras else HERE
        hidden = extras and rng.random() < 0.1
        shape = Shape(random_choices(rng), owner, destination)
        drawn.append(WaitingShape(f"d{number}", shape, heads, len(heads) + hidden))
    drawn.sort(key=lambda shape: (shape.heads[0].priority, shape.heads[0].id))
    passed = [job_id for job_id in range(1, id_ + 1) if rng.random() < 0.7]
    fields: dict[str, Any] = {
        "passed": {name_of(job_id): rng.choice((0.0, 990.0)) for job_id in passed}
    }
    policy = Policy(patience=rng.choice(patience), strict_order=rng.choice(strict_order))
    if extras:
        limits = rng.choice(({}, {"*": {"VCPU": 9}}, {"lab": {"GPU": 3, "Memory": 5}}))
        policy = replace(policy, share=rng.choice((None, "owner")), limits=limits)
        fields["past_usage"] = {"ops": {"VCPU": rng.choice((0.5, 20.0))}}
        fields["usage"] = {"lab": {"VCPU": rng.randint(0, 9)}, "ops": {"GPU": 1}}
        fields["closed"] = frozenset(THERE if rng.randint(0, 1) else ())
    places = random_hosts(rng, hosts)
    holds = [
        Hold(f"on {place.name}", "lab", 0.0, 1000.0 + rng.randint(1, 9), all_held(place))
        for place in places
    ]
    fields["holds"] = tuple(sorted(holds, key=lambda hold: hold.ends))
    fields["history"] = HoldingTimes(
        Observation("lab", demand_key(option), 0, float(rng.randint(1, 12)))
        for shape in drawn
        for option in shape.shape.demand.options
        for _ in "12"
    )
    return snapshot_of(places, drawn, policy=policy, **fields)


SEEDS = st.integers(0, 2**32 - 1)


def snapshots(**options: Any) -> SearchStrategy[Snapshot]:
    """Draw snapshots from a seed: thousands are quick, and failures shrink to small ones.

    Most have hosts and shapes enough that something is granted and something waits.
    """
    return st.builds(
        lambda seed, hosts, shapes: random_snapshot(seed, hosts, shapes, **options),
        SEEDS,
        st.sampled_from((*range(5), *[3, 4] * 5)),
        st.sampled_from((*range(6), *[3, 4, 5] * 4)),
    )
