"""What all futures of a type have in common: hosts, rules, kinds of jobs, what is held now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from random import Random

from msgspec.structs import replace

from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key, likeness_keys
from rq_broker.domain.jobs import Demand, Shape, expected_class
from rq_broker.domain.line import Line
from rq_broker.domain.planning import Snapshot
from rq_broker.planner.forecasting.arrivals import ArrivalModel
from rq_broker.planner.forecasting.holding_draws import HoldingDraws
from rq_broker.planner.forecasting.hosts import SimulatedHosts
from rq_broker.planner.forecasting.kept_hosts import NamedHosts, hosts_kept
from rq_broker.planner.forecasting.like_jobs import JobsByLikeness, LikeJobs
from rq_broker.planner.forecasting.room import Placement, Vector, add
from rq_broker.planner.forecasting.simulated_jobs import DRAWS, Batch, Kind, Rules, RunningHold
from rq_broker.planner.forecasting.simulated_shares import SimulatedShares
from rq_broker.planner.forecasting.simulation import SimulatedFuture, Start

EXACT_HOLDS = 10_000
"""Holds up to which each is simulated on its own hosts, if the line is short too."""
EXACT_HOSTS = 5000
"""The same of hosts."""
SEPARATE_HOSTS = 200
"""Hosts up to which they stay separate in a longer line. More are merged to one of each group: that
is four times as fast on a thousand hosts, but large instances then find room too early."""
MERGED_HOLDS = 500
"""Holds that are simulated otherwise: similar ones of an owner end together."""
LEAST_STEP = 0.01
"""Then the smallest step, as a part of the mean holding time."""


@dataclass(frozen=True, slots=True)
class _HeldNow:
    """What a job holds at the beginning of each future, or several alike."""

    ended: Sequence[Sequence[float]]
    """Sorted holding times, of the most alike jobs first."""
    age: float
    expected: float
    """Seconds until it is expected to end."""
    placement: Placement
    owner: str
    digest: str
    """Of its demand."""
    size: int
    """Its size class."""
    total: Vector
    jobs: int
    array: str


class Scene:
    """Begins the futures of a type."""

    def __init__(
        self,
        snapshot: Snapshot,
        line: Line,
        demands: Mapping[str, Demand],
        *,
        is_coarse: bool = False,
    ) -> None:
        """Prepare the futures of a snapshot.

        Args:
            snapshot: of the type; its waiting shapes are not used.
            line: the jobs that wait.
            demands: key → demand, of jobs that may come again; those that wait are known.
            is_coarse: in steps, as a long line, whatever its length.
        """
        self._snapshot = snapshot
        self._line = line
        self._history = snapshot.history
        is_exact = (
            line.is_complete
            and not is_coarse
            and len(snapshot.holds) <= EXACT_HOLDS
            and len(snapshot.hosts) <= EXACT_HOSTS
        )
        self._rules = Rules(
            snapshot.policy.patience,
            snapshot.policy.strict_order,
            self._history,
            0.0 if is_exact else LEAST_STEP * self._history.mean,
        )
        newest = list(self._history.newest)
        known = _demands_by_key(line.shapes.values())
        arriving = {
            ended.demand: demands[ended.demand] for ended in newest if ended.demand in demands
        }
        known = {**arriving, **known}
        kept = hosts_kept(snapshot, line)
        is_merged = not is_exact and len(snapshot.hosts) > SEPARATE_HOSTS
        self._hosts = _simulated_hosts(snapshot, known.values(), kept, merged=is_merged)
        self._kept = {id_: hosts.numbered(self._hosts.placement) for id_, hosts in kept.items()}
        self._parts_held = _parts_held(newest)
        self._demands: dict[Demand, int] = {}
        self._kinds: dict[tuple[Shape, bool, bool], Kind] = {}
        self._held = self._held_by_age(merged=not is_exact)
        self._like_jobs = _jobs_by_likeness(self._history, self._held)
        self._kind_of = self._kinds_in(line)
        """For each job of the line its kind."""
        self.arrivals = self._arrival_model(newest, known, is_sampled=not is_exact)

    def _kinds_in(self, line: Line) -> list[Kind]:
        return [
            self._kind(line.shapes[job.digest], own_priority=job.own_priority) for job in line.jobs
        ]

    def with_line(self, line: Line) -> Scene:
        """Return the scene with the same jobs in another order; what it has prepared is shared."""
        if line is self._line:
            return self
        other = copy(self)
        other._line, other._kind_of = line, self._kinds_in(line)
        return other

    def future(self, seed: int) -> SimulatedFuture:
        """Begin a future; equal seeds draw the same for equal jobs, whatever their order."""
        rng = Random(seed)
        draws, arriving = HoldingDraws(rng), Random(rng.getrandbits(64))
        rests = [draws.remaining_time(held.ended, held.age) for held in self._held]
        draws.totals = [held.age + rest for held, rest in zip(self._held, rests, strict=True)]
        holds = [
            (
                rest,
                held.expected,
                RunningHold(
                    held.placement,
                    held.owner,
                    held.digest,
                    held.total,
                    -held.age,
                    held.jobs,
                    held.array,
                ),
            )
            for held, rest in zip(self._held, rests, strict=True)
        ]
        usage = self._usage()
        start = Start(
            self._hosts.room.copy(),
            self._rules,
            self._batches(draws),
            len(self._kinds),
            holds,
            usage,
            self._shares(usage),
            self.arrivals.draw(arriving, draws.totals),
        )
        return SimulatedFuture(start, draws, rng)

    def _batches(self, draws: HoldingDraws) -> list[Batch]:
        jobs, now = self._line.jobs, self._snapshot.now
        times: list[tuple[float, ...]] = [()] * len(jobs)
        for index in sorted(range(len(jobs)), key=lambda index: jobs[index].id):
            histories = self._kind_of[index].histories
            count = min(jobs[index].weight, DRAWS)
            times[index] = tuple([draws.holding_time(histories) for _ in range(count)])
        return [
            Batch(
                job.rank,
                self._kind_of[index],
                job.weight,
                index,
                times[index],
                None if job.passed is None else job.passed - now,
                prefers_until=max(job.prefers_until - now, 0.0),
                kept=self._kept.get(job.id),
            )
            for index, job in enumerate(jobs)
        ]

    def _usage(self) -> dict[str, Vector]:
        usage = self._snapshot.usage
        owners = {kind.owner for kind in self._kinds.values() if kind.limit is not None}
        if self._snapshot.policy.sharing:
            owners.update(kind.owner for kind in self._kinds.values())
        return {owner: self._hosts.vector(usage.get(owner, {})) for owner in owners}

    def _shares(self, usage: dict[str, Vector]) -> SimulatedShares | None:
        sharing, resources = self._snapshot.policy.sharing, self._hosts.resources
        if sharing is None:
            return None
        averages = {
            owner: [amounts.get(name, 0.0) for name in resources]
            for owner, amounts in self._snapshot.past_usage.items()
        }
        return SimulatedShares(sharing, self._hosts.capacity, usage, averages)

    # Kinds of jobs

    def _kind(self, shape: Shape, *, own_priority: bool = False) -> Kind:
        """Return the kind of a shape's jobs; those of a closed destination are a kind apart."""
        is_open = not self._snapshot.is_closed(shape)
        alike = Shape(shape.demand, shape.owner, "", shape.expected, shape.at_once)
        key = (alike, is_open, own_priority)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = self._new_kind(
                shape, own_priority=own_priority, is_open=is_open
            )
        return kind

    def _new_kind(self, shape: Shape, own_priority: bool, is_open: bool) -> Kind:
        demand, *alternatives = shape.demand.options
        others = tuple(
            self._kind(replace(shape, demand=option), own_priority=own_priority)
            for option in alternatives
        )
        owner, hosts = shape.owner, self._hosts
        needs = hosts.needs(demand)
        digest = demand_key(demand)
        size = hosts.size_class([dict(instance) for instance in demand.instances])
        policy = self._snapshot.policy
        prediction = self._history.predict(owner, digest, size, policy.expected(shape.expected))
        limits = policy.limits
        limit = limits.get(owner, limits.get("*"))
        total = hosts.vector({})
        for need in needs:
            total = add(total, tuple([need.instances * amount for amount in need.amounts]))
        groups = frozenset().union(*(need.groups for need in needs))
        return Kind(
            len(self._kinds),
            needs,
            groups,
            self._demands.setdefault(demand, len(self._demands)),
            digest,
            owner,
            total,
            hosts.are_half_taken_by(total, groups),
            tuple([limit.get(name, -1) for name in hosts.resources]) if limit else None,
            prediction,
            self._histories(shape, digest, size),
            own_priority=own_priority,
            at_once=shape.at_once,
            can_start=is_open and all(need.groups for need in needs),
            others=others,
            prefer_for=shape.demand.prefer_for / 1000,
            is_elastic=any(need.more for need in needs),
        )

    def _histories(self, shape: Shape, digest: str, size: int) -> tuple[LikeJobs, ...]:
        """Return the jobs like these; of those that say how long they hold, what that comes to."""
        known = self._like_jobs.of(shape.owner, digest, size)
        if shape.expected is None:
            return known
        said = [
            LikeJobs([shape.expected * part for part in parts])
            for parts in (self._parts_held.get(shape.owner), self._parts_held.get(None))
            if parts
        ]
        return (*said, *known)

    # What is held

    def _held_by_age(self, *, merged: bool) -> list[_HeldNow]:
        """Return what is held now, the oldest first; `merged`: similar holds as one."""
        held = self._merged(self._held_now()) if merged else self._held_now()
        return sorted(held, key=lambda hold: -hold.age)

    def _held_now(self) -> list[_HeldNow]:
        now, hosts, held = self._snapshot.now, self._hosts, []
        ended: dict[tuple[str, str, int], list[list[float]]] = {}
        of_type = list(self._history.of_type)
        for hold in self._snapshot.holds:
            key = (hold.owner, hold.demand, hosts.size_class(hold.amounts.values()))
            if key not in ended:
                recent = map(self._history.recent, likeness_keys(*key))
                ended[key] = [*(sorted(times) for times in recent if times), of_type]
            placement = hosts.placement(hold.amounts)
            total = hosts.vector({})
            for _, amounts in placement:
                total = add(total, amounts)
            held.append(
                _HeldNow(
                    ended[key],
                    now - hold.granted,
                    hold.ends - now,
                    placement,
                    hold.owner,
                    hold.demand,
                    key[2],
                    total,
                    1,
                    hold.array,
                )
            )
        return held

    def _merged(self, held: list[_HeldNow]) -> list[_HeldNow]:
        """Merge holds that are alike and of similar age."""
        size = -(-len(held) // MERGED_HOLDS)
        if size <= 1:
            return held
        held.sort(key=lambda hold: (hold.owner, id(hold.ended), hold.array, hold.age))
        return [
            _merge(similar[first : first + size])
            for similar in (
                list(group) for _, group in groupby(held, lambda h: (id(h.ended), h.array))
            )
            for first in range(0, len(similar), size)
        ]

    # What arrives

    def _arrival_model(
        self, newest: Sequence[Observation], known: Mapping[str, Demand], *, is_sampled: bool
    ) -> ArrivalModel:
        """Let jobs arrive that are like those that ended last."""
        held, mean = len(self._snapshot.holds), self._history.mean
        kinds = Counter(
            self._kind(
                Shape(
                    self._arriving_demand(ended, known),
                    ended.owner,
                    "",
                    expected_class(ended.expected),
                )
            )
            for ended in newest
        )
        per_second = held / mean if mean else 0.0
        return ArrivalModel(list(kinds.items()), per_second, is_sampled=is_sampled)

    def _arriving_demand(self, ended: Observation, known: Mapping[str, Demand]) -> Demand:
        """Return the demand of an ended job, or one of its size where it is not known."""
        return known.get(ended.demand) or self._hosts.demand_of_size(ended.size)


def _simulated_hosts(
    snapshot: Snapshot, demands: Iterable[Demand], kept: Mapping[int, NamedHosts], *, merged: bool
) -> SimulatedHosts:
    options = {option for demand in demands for option in demand.options}
    kept_for = {name: id_ for id_, hosts in kept.items() for name in hosts.needs}
    return SimulatedHosts(snapshot.hosts.values(), options, merged=merged, kept_for=kept_for)


def _jobs_by_likeness(history: HoldingTimes, held: Iterable[_HeldNow]) -> JobsByLikeness:
    """Put together what ended and what is held, the oldest first."""
    keys = [likeness_keys(hold.owner, hold.digest, hold.size) for hold in held]
    return JobsByLikeness(history, keys)


def _demands_by_key(shapes: Iterable[Shape]) -> dict[str, Demand]:
    """Return what shapes need by the keys under which their holding times are kept.

    Each alternative has its own. Where a shape needs just this, it goes before those with others.
    """
    with_others, just_this = dict[str, Demand](), dict[str, Demand]()
    for shape in shapes:
        known = with_others if shape.demand.alternatives else just_this
        known.update((demand_key(option), shape.demand) for option in shape.demand.options)
    return {**with_others, **just_this}


def _parts_held(newest: Sequence[Observation]) -> dict[str | None, list[float]]:
    """Return what parts of what they said ended jobs held: owner, or None for all → parts."""
    parts: dict[str | None, list[float]] = {}
    for ended in newest:
        if ended.expected:
            for owner in (ended.owner, None):
                parts.setdefault(owner, []).append(ended.seconds / ended.expected)
    return parts


def _merge(holds: list[_HeldNow]) -> _HeldNow:
    middle = holds[len(holds) // 2]
    placement, total = dict[int, Vector](), middle.total
    for hold in holds:
        for host, amounts in hold.placement:
            placement[host] = add(placement[host], amounts) if host in placement else amounts
    for hold in holds:
        if hold is not middle:
            total = add(total, hold.total)
    expected = sum(hold.expected for hold in holds) / len(holds)
    return _HeldNow(
        middle.ended,
        middle.age,
        expected,
        list(placement.items()),
        middle.owner,
        middle.digest,
        middle.size,
        total,
        len(holds),
        middle.array,
    )
