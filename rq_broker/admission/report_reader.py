"""Reads a report of a type: its steps in Redis, what still runs, and what stands now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Literal

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.waiting_sums import WaitingGroup, WaitingSums, waiting_sums
from rq_broker.domain.report_sums import Level, Sample, Sums, add_amounts
from rq_broker.domain.reports import (
    ALL,
    LENGTHS,
    MOST_RESOURCES,
    REST,
    Kind,
    ReportState,
    Step,
    owner_group,
    owner_of,
    size_group,
    size_of,
    step_at,
    steps_between,
)
from rq_broker.store.broker import Broker, RunningHold
from rq_broker.store.reports import level_of, sums_of

By = Literal["owner", "size"]
MOST_STEPS = 400
"""Steps of one report at most: a year of days, or two weeks of hours."""
FEW_HOLDS = 1000
"""Running jobs up to which they are summed up on the event loop: that takes about a millisecond."""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What a report is of."""

    kind: Kind
    start: float
    """Seconds since 1970; it begins with the step that this is in."""
    end: float
    by: By
    limit: int
    """Groups that are named, those with most jobs; the others are one."""
    owners: Collection[str] | None = None
    """Owners that may be named; None: all."""

    @property
    def steps(self) -> list[Step]:
        """The steps of the report, the oldest first."""
        length = LENGTHS[self.kind]
        first = step_at(self.kind, self.start).start
        return [Step(self.kind, start) for start in range(first, int(-(-self.end // 1)), length)]


@dataclass(slots=True)
class ReportedStep:
    """One hour or day of a report."""

    step: Step
    total: Sums
    groups: dict[str, Sums]
    """Name of a group, see domain/reports → its sums."""
    level: Level

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of it."""
        return self.total == Sums() and self.level == Level()


@dataclass(slots=True)
class Report:
    """What happened to a type's jobs, over time."""

    state: ReportState
    now: float
    """Redis's clock, seconds since 1970."""
    steps: list[ReportedStep]
    total: Sums = field(default_factory=Sums)
    groups: dict[str, Sums] = field(default_factory=dict)
    """The same over all steps, the largest group first; the rest is the last."""


@dataclass(frozen=True, slots=True)
class Outlasting:
    """A job that holds capacity for longer than was expected."""

    hold: RunningHold
    seconds: float
    """How long it has held it."""
    expected: float
    """Seconds that it said, or was predicted, to hold."""
    is_said: bool
    """Whether it said so itself."""

    @property
    def beyond(self) -> float:
        """Seconds by which it outlasts that."""
        return self.seconds - self.expected


@dataclass(frozen=True, slots=True)
class WaitingNow:
    """The line of a type, summed up, and since when the first job of each group waits."""

    sums: WaitingSums
    since: Mapping[int, float]
    """ID of a group's earliest job → since when it waits, seconds since 1970."""
    now: float

    def oldest(self, group: WaitingGroup) -> float | None:
        """Return for how many seconds the earliest job of a group waits."""
        since = None if group.earliest is None else self.since.get(group.earliest.id)
        return None if since is None else max(self.now - since, 0.0)


class ReportReader:
    """Reads reports for one process."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker: Broker = snapshots.broker

    async def report(self, type_: str, query: ReportQuery) -> Report:
        """Read what happened to a type's jobs, in all and by group."""
        head, held = await asyncio.gather(
            self._broker.report_state(type_), self._snapshots.held(type_)
        )
        steps = query.steps
        stored = await self._broker.report_steps(type_, steps)
        report = Report(head.state, head.now, [])
        for step, fields in zip(steps, stored, strict=True):
            sums = {name: sums_of(text) for name, text in fields.items() if _is_of(name, query.by)}
            total = sums_of(fields[ALL]) if ALL in fields else Sums()
            report.steps.append(ReportedStep(step, total, sums, level_of(fields)))
        if head.state.sample:
            is_current = head.newest == head.state.cursor
            _extend(report, head.state.sample, head.now if is_current else head.state.until)
        if len(held.rows) <= FEW_HOLDS:
            _add_running(report, held.rows, query.by)
        else:
            await asyncio.to_thread(_add_running, report, held.rows, query.by)
        _sum_up(report, query)
        return report

    async def waiting(self, type_: str) -> WaitingNow:
        """Sum up the jobs that wait now."""
        state = await self._snapshots.read_state(type_)
        sums = await waiting_sums(self._broker, type_, state.hosts)
        groups = [sums.total, *sums.by_owner.values(), *sums.by_size.values()]
        names = {group.earliest.id: group.earliest.request_id for group in groups if group.earliest}
        since, head = await asyncio.gather(
            self._broker.waiting_since(type_, names), self._broker.report_state(type_)
        )
        return WaitingNow(sums, since, head.now)

    async def holders(
        self, type_: str, limit: int, owners: Collection[str] | None = None
    ) -> tuple[list[Outlasting], int]:
        """List the jobs that hold for longer than expected, the longest beyond first.

        Args:
            type_: The type.
            limit: How many to list.
            owners: Of whom; None: of everybody.

        Returns:
            The jobs, and how many there are in all.
        """
        held, now = await asyncio.gather(self._snapshots.held(type_), self._broker.now(type_))
        rows = [row for row in held.rows if owners is None or row.owner in owners]
        found = [job for row in rows if (job := _outlasting(row, now)) is not None]
        return nlargest(limit, found, key=lambda job: job.beyond), len(found)


def _outlasting(row: RunningHold, now: float) -> Outlasting | None:
    expected = row.predicted if row.expected is None else row.expected
    if expected is None or now - row.granted <= expected:
        return None
    return Outlasting(row, now - row.granted, expected, is_said=row.expected is not None)


def _is_of(group: str, by: By) -> bool:
    if by == "size":
        return size_of(group) is not None
    return group == REST or owner_of(group) is not None


def _extend(report: Report, sample: Sample, until: float) -> None:
    """Add what the last look at the type showed, as it stands since then."""
    levels = {known.step: known.level for known in report.steps}
    for step, seconds in steps_between(report.steps[0].step.kind, sample.at / 1000, until):
        if step in levels:
            levels[step].add(sample.over(seconds))


# What still runs


def _group_of(row: RunningHold, by: By) -> str | None:
    """Return the name of the group that a running job is in; None for none."""
    if by == "owner":
        return owner_group(row.owner)
    return None if row.size is None else size_group(row.size)


def _add_running(report: Report, rows: Iterable[RunningHold], by: By) -> None:
    """Add what running jobs had so far: in the step of their grant, and in all later ones.

    The cost is that of the jobs and of the steps, not of both multiplied.
    """
    ends = [min(known.step.end, report.now) for known in report.steps]
    by_group: dict[str | None, _Parts] = {}
    for row in rows:
        amounts = _amounts(row)
        for name in {None, _group_of(row, by)}:  # None: all jobs
            of_group = by_group.setdefault(name, _Parts(len(ends)))
            of_group.add(report, row.granted, amounts, ends)
    for name, of_group in by_group.items():
        for known, held in zip(report.steps, of_group.held(report, ends), strict=True):
            if held:
                sums = known.total if name is None else known.groups.setdefault(name, Sums())
                add_amounts(sums.held, held)


class _Parts:
    """What the running jobs of one group had: in the step of the grant, and whole steps after."""

    def __init__(self, steps: int) -> None:
        self._first: list[dict[str, float]] = [{} for _ in range(steps)]
        self._from: list[dict[str, float]] = [{} for _ in range(steps + 1)]

    def add(
        self, report: Report, granted: float, amounts: Mapping[str, int], ends: list[float]
    ) -> None:
        """Add a job."""
        first = report.steps[0].step
        length = LENGTHS[first.kind]
        index = int((granted - first.start) // length)
        if index >= len(ends) or granted >= report.now:
            return
        if index >= 0:
            add_amounts(self._first[index], amounts, max(ends[index] - granted, 0.0))
        add_amounts(self._from[max(index + 1, 0)], amounts)

    def held(self, report: Report, ends: list[float]) -> list[dict[str, float]]:
        """Return for each step resource → amount times seconds."""
        level: dict[str, float] = {}
        sums = []
        for known, first, began, end in zip(
            report.steps, self._first, self._from, ends, strict=False
        ):
            add_amounts(level, began)
            held = dict(first)
            add_amounts(held, level, max(end - known.step.start, 0.0))
            sums.append({name: amount for name, amount in held.items() if amount})
        return sums


def _amounts(row: RunningHold) -> dict[str, int]:
    """Return what a job has of each resource, of the first ones; devices are in their resource."""
    amounts: dict[str, int] = {}
    for of_host in row.amounts.values():
        for name, amount in of_host.items():
            if "/" not in name and (name in amounts or len(amounts) < MOST_RESOURCES):
                amounts[name] = amounts.get(name, 0) + amount
    return amounts


# The sums over all steps


def _sum_up(report: Report, query: ReportQuery) -> None:
    """Sum up all steps, and fold the groups that are not to be named into the rest."""
    totals: dict[str, Sums] = {}
    for known in report.steps:
        report.total.add(known.total)
        for name, sums in known.groups.items():
            totals.setdefault(name, Sums()).add(sums)
    named = {name for name in totals if name != REST and _may_name(name, query.owners)}
    if query.by == "owner":
        named = set(nlargest(query.limit, named, key=lambda name: (totals[name].weight, name)))
    for known in report.steps:
        known.groups = _folded(known.groups, named)
    folded = _folded(totals, named)
    rest = folded.pop(REST, None)
    key = _by_size if query.by == "size" else _by_weight
    report.groups = dict(sorted(folded.items(), key=key))
    if rest is not None:
        report.groups[REST] = rest


def _by_size(item: tuple[str, Sums]) -> tuple[float, float]:
    return float(size_of(item[0]) or 0), 0.0


def _by_weight(item: tuple[str, Sums]) -> tuple[float, float]:
    jobs, held = item[1].weight
    return -jobs, -held


def _may_name(group: str, owners: Collection[str] | None) -> bool:
    owner = owner_of(group)
    return owners is None or owner is None or owner in owners


def _folded(groups: Mapping[str, Sums], named: Collection[str]) -> dict[str, Sums]:
    folded: dict[str, Sums] = {}
    for name, sums in groups.items():
        folded.setdefault(name if name in named else REST, Sums()).add(sums)
    return folded
