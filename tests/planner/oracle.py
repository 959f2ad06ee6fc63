"""Small worlds for the planner, and the slow truth about them: every placement, tried."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

from hypothesis import strategies as st

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Protection, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy

RESOURCES = ("GPU", "Memory", "VCPU")
AGGREGATES = ("east", "gpu")
HERE = "http://here"


def need(**amounts):
    """One instance: `need(VCPU=4)`."""
    return tuple(sorted((r, n) for r, n in amounts.items() if n))


def host(name, capacity, *aggregates, used=None, held=None, dropped=False):
    """One host."""
    return Host(name, capacity, used or {}, held or {}, frozenset(aggregates), dropped)


def demand(*instances, aggregate=None, spread=False):
    """What a job needs."""
    return Demand(tuple(instances), aggregate, spread)


def waiting(digest, wants, *ids, owner="lab", destination=HERE, count=None, priority=None):
    """A shape whose jobs have the IDs given; each one's priority is its ID unless one is given."""
    heads = tuple(Head(id_, f"r{id_}", id_ if priority is None else priority) for id_ in ids)
    return WaitingShape(digest, Shape(wants, owner, destination), heads, count or len(heads))


def world(hosts, shapes, now=1000.0, **rest):
    """A snapshot; `patience=…` and the like may be given as `policy=Policy(…)`."""
    policy = rest.pop("policy", Policy())
    return Snapshot({h.name: h for h in hosts}, tuple(shapes), policy, now, **rest)


def name_of(id_):
    """The request_id of a job made by `waiting`."""
    return f"r{id_}"


def protection(id_, *hosts):
    """Hosts kept for a job made by `waiting`."""
    return Protection(id_, name_of(id_), frozenset(hosts))


def newly_passed(plan):
    """request_ids of the jobs newly passed."""
    return {head.request_id for head in plan.passed}


def granted(plan):
    """IDs of the granted jobs, in order."""
    return [grant.head.id for grant in plan.grants]


def fits_at(snapshot, free, wants: Demand, hosts: tuple[str, ...]) -> bool:
    """Say whether instances on these hosts keep every rule, given what is free."""
    if wants.spread and len(set(hosts)) < len(hosts):
        return False
    for name in hosts:
        place = snapshot.hosts[name]
        if place.dropped or (wants.aggregate and wants.aggregate not in place.aggregates):
            return False
    needs: dict[tuple[str, str], int] = {}
    for name, instance in zip(hosts, wants.instances, strict=True):
        most = snapshot.hosts[name].max_unit
        for resource, amount in instance:
            if amount > most.get(resource, amount):
                return False
            needs[name, resource] = needs.get((name, resource), 0) + amount
    return all(free[name].get(resource, 0) >= n for (name, resource), n in needs.items())


def brute_force(snapshot, free, wants: Demand) -> tuple[str, ...] | None:
    """Try every assignment of instances to hosts."""
    for hosts in product(sorted(snapshot.hosts), repeat=len(wants.instances)):
        if fits_at(snapshot, free, wants, hosts):
            return hosts
    return None


def free_of(snapshot):
    """What is free on every host before the pass."""
    return {name: dict(place.free) for name, place in snapshot.hosts.items()}


def take(free, grant: Grant) -> None:
    """Apply a grant."""
    for name, instance in zip(grant.hosts, grant.shape.demand.instances, strict=True):
        for resource, amount in instance:
            free[name][resource] -= amount


def random_demand(rng: Random, most: int = 4) -> Demand:
    """Alike or mixed gangs of up to `most` instances."""
    count = rng.randint(1, most)
    if rng.random() < 0.5:
        parts = (random_need(rng),) * count
    else:
        parts = tuple(random_need(rng) for _ in range(count))
    aggregate = rng.choices((None, *AGGREGATES, "nowhere"), (6, 2, 2, 1))[0]
    return Demand(parts, aggregate, rng.random() < 0.3)


def random_need(rng: Random):
    """An instance that needs up to three resources, perhaps nothing."""
    most = rng.choice((2, 4, 8))
    return need(**{r: rng.randint(0, most) for r in RESOURCES if rng.random() < 0.6})


def random_hosts(rng: Random, count: int) -> list[Host]:
    """Hosts some of which are dropped, lack a resource, or have less than nothing free."""
    found = []
    for number in range(count):
        capacity = {r: rng.randint(0, 16) for r in RESOURCES if rng.random() < 0.9}
        used = {r: rng.randint(0, 3) for r in capacity if rng.random() < 0.4}
        held = {r: rng.randint(0, 4) for r in capacity if rng.random() < 0.4}
        pools = [aggregate for aggregate in AGGREGATES if rng.random() < 0.5]
        dropped = rng.random() < 0.1
        one = host(f"h{number}", capacity, *pools, used=used, held=held, dropped=dropped)
        most = {r: rng.randint(1, 8) for r in capacity if rng.random() < 0.4}
        found.append(replace(one, max_unit=most if rng.random() < 0.4 else {}))
    return found


def random_world(seed: int, hosts: int, shapes: int, patience=(None, 0.0, 60.0), extras=True):
    """A small snapshot; `extras` adds caps, fair order, closed destinations, hidden jobs."""
    rng = Random(seed)
    entries, id_ = [], 0
    for number in range(shapes):
        jobs = []
        for _ in range(rng.randint(1, 3)):
            id_ += 1
            jobs.append((rng.randint(-2, 2), id_))
        heads = tuple(Head(i, f"r{i}", p) for p, i in sorted(jobs))
        owner = rng.choice(("lab", "ops")) if extras else "lab"
        there = rng.choice((HERE, HERE, "http://there")) if extras else HERE
        hidden = extras and rng.random() < 0.1
        shape = Shape(random_demand(rng), owner, there)
        entries.append(WaitingShape(f"d{number}", shape, heads, len(heads) + hidden))
    entries.sort(key=lambda entry: (entry.heads[0].priority, entry.heads[0].id))
    passed = [i for i in range(1, id_ + 1) if rng.random() < 0.7]
    rest = {"passed": {name_of(i): rng.choice((0.0, 990.0)) for i in passed}}
    policy = Policy(patience=rng.choice(patience))
    if extras:
        limits = rng.choice(({}, {"*": {"VCPU": 9}}, {"lab": {"GPU": 3, "Memory": 5}}))
        policy = replace(policy, share=rng.choice((None, "owner")), limits=limits)
        rest["usage"] = {"lab": {"VCPU": rng.randint(0, 9)}, "ops": {"GPU": 1}}
        rest["closed"] = frozenset(rng.sample(("http://there",), rng.randint(0, 1)))
    return world(random_hosts(rng, hosts), entries, policy=policy, **rest)


SEEDS = st.integers(0, 2**32 - 1)


def worlds(**options):
    """Worlds from a seed: quick to draw by the thousand; failures shrink to small worlds.

    Most have hosts and shapes enough that something is granted and something waits.
    """
    return st.builds(
        lambda seed, hosts, shapes: random_world(seed, hosts, shapes, **options),
        SEEDS,
        st.sampled_from((*range(5), *[3, 4] * 5)),
        st.sampled_from((*range(6), *[3, 4, 5] * 4)),
    )
