"""Reports of a type: events summed by hour and by day, so that they can be told long afterwards.

Each event is added to an hour and a day, there to all jobs, to its owner and to its size class. How
much capacity a job had is known when its grant ends, and is then spread over the hours and days
since it was granted. What still runs is added when a report is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from msgspec import Struct

from rq_broker.domain.figures import LEAST_SIZE, MOST_SIZE, WAIT_BOUNDS
from rq_broker.domain.report_sums import Decode, Level, Sample, Sums, add_amounts

Kind = Literal["hour", "day"]
LENGTHS: Mapping[Kind, int] = {"hour": 3600, "day": 86400}
"""Seconds of a step. Days are those of UTC: hours and days then have the same bounds for all."""
KEPT: Mapping[Kind, int] = {"hour": 8 * 86400, "day": 366 * 86400}
"""Seconds for which steps are kept after their end: hours so that the same weekday can be compared,
days for a year. With more, the reports of a busy type take more memory, see docs/scale."""
MOST_OWNERS = 50
"""Owners that a step names, those with most jobs; the others are summed up as one. It bounds the
memory of a step, whatever names clients make up."""
OWNERS_SLACK = 14
"""Owners more that a step may name before the smallest are folded: so one whose first jobs are few
may still become one of the largest."""
MOST_RESOURCES = 20
"""Resources that a group names, the first ones; hosts may have ten thousand."""
ALL, REST, LINE = "all", "rest", "line"
"""Names of groups: all jobs; those of owners that are not named; what the type had and wanted."""
_OWNER, _SIZE = "owner/", "size/"
_HOLDING = frozenset(("granted", "running"))
_WAITING = frozenset(("queued", "beside"))
_LIVE = _HOLDING | _WAITING


class Step(NamedTuple):
    """One hour or one day."""

    kind: Kind
    start: int
    """Seconds since 1970."""

    @property
    def name(self) -> str:
        """The name that its key ends with: `hour:1700000000`."""
        return f"{self.kind}:{self.start}"

    @property
    def end(self) -> int:
        """Seconds since 1970."""
        return self.start + LENGTHS[self.kind]

    @property
    def forgotten(self) -> int:
        """When it is deleted, seconds since 1970."""
        return self.end + KEPT[self.kind]


def step_at(kind: Kind, seconds: float) -> Step:
    """Return the step that a time is in."""
    length = LENGTHS[kind]
    return Step(kind, int(seconds // length) * length)


def steps_between(kind: Kind, began: float, ended: float) -> Iterator[tuple[Step, float]]:
    """Yield the steps of a time, and the seconds of it in each; none older than is kept."""
    began = max(began, step_at(kind, ended).start - KEPT[kind])
    step = step_at(kind, began)
    while step.start < ended:
        inside = min(ended, step.end) - max(began, step.start)
        if inside > 0:
            yield step, inside
        step = Step(kind, step.end)


def owner_group(owner: str) -> str:
    """Return the name of the group of an owner's jobs."""
    return _OWNER + owner


def size_group(size: int) -> str:
    """Return the name of the group of a size class; the smallest and largest take the others in."""
    return f"{_SIZE}{max(LEAST_SIZE, min(MOST_SIZE, size))}"


def owner_of(group: str) -> str | None:
    """Return the owner whose group this is; None for another group."""
    return group.removeprefix(_OWNER) if group.startswith(_OWNER) else None


def size_of(group: str) -> int | None:
    """Return the size class whose group this is; None for another group."""
    return int(group.removeprefix(_SIZE)) if group.startswith(_SIZE) else None


class Happening(NamedTuple):
    """One event, as far as reports count it."""

    at: float
    """Seconds since 1970, by Redis's clock."""
    word: str
    """The job's status since, or `deleted`."""
    before: str
    """Its status before, '' for none."""
    owner: str
    jobs: int = 1
    """Jobs that it is of: a submit of an array stores many."""
    waited: float | None = None
    """Of a grant: seconds that the job waited."""
    held: float | None = None
    """Of the end of a grant: seconds since the grant."""
    size: int | None = None
    """Of both: the job's size class."""
    amounts: Mapping[str, int] = {}
    """Of both: resource → what the grant gives."""


class ReportState(Struct):
    """How far the events of a type are counted."""

    cursor: str = ""
    """ID of the last event that was counted; '' before the first."""
    since: float = 0.0
    """When the first one was, seconds since 1970."""
    until: float = 0.0
    """When events were counted last, seconds since 1970."""
    sample: Sample | None = None
    """What stood when it was last looked at."""
    is_stale: bool = False
    """Whether something has happened since."""


@dataclass(slots=True)
class Tally:
    """What some events add to steps."""

    sums: dict[Step, dict[str, Sums]] = field(default_factory=dict)
    levels: dict[Step, Level] = field(default_factory=dict)

    @property
    def steps(self) -> set[Step]:
        """The steps that change."""
        return {*self.sums, *self.levels}

    def add(self, event: Happening) -> None:
        """Count an event."""
        counted = _counted(event)
        groups = [ALL, owner_group(event.owner)]
        if event.size is not None:
            groups.append(size_group(event.size))
        for kind in LENGTHS:
            if counted is not None:
                self._add(step_at(kind, event.at), groups, counted)
            if event.held:
                for step, seconds in steps_between(kind, event.at - event.held, event.at):
                    held: dict[str, float] = {}
                    add_amounts(held, dict([*event.amounts.items()][:MOST_RESOURCES]), seconds)
                    self._add(step, groups, Sums(held=held))

    def add_level(self, sample: Sample, until: float) -> None:
        """Count that what a sample shows stood until then, seconds since 1970."""
        for kind in LENGTHS:
            for step, seconds in steps_between(kind, sample.at / 1000, until):
                self._level(step).add(sample.over(seconds))

    def add_gap(self, began: float, ended: float) -> None:
        """Note that events of this time are gone."""
        for kind in LENGTHS:
            for step, seconds in steps_between(kind, began, ended):
                self._level(step).add(Level(uncounted=seconds))

    def _level(self, step: Step) -> Level:
        return self.levels.setdefault(step, Level())

    def _add(self, step: Step, groups: list[str], sums: Sums) -> None:
        of_step = self.sums.setdefault(step, {})
        for group in groups:
            known = of_step.get(group)
            if known is None:
                known = of_step[group] = Sums()
            known.add(sums)


def _counted(event: Happening) -> Sums | None:
    """Return what an event counts besides the time of a hold; None for nothing."""
    word, before, counted = event.word, event.before, None
    if word == "granted":
        waited = event.waited
        counted = Sums(granted=1)
        if waited is not None:
            counted = Sums(granted=1, waited=waited, waits={bucket_of(waited): 1})
    elif word in _WAITING and not before:
        counted = Sums(submitted=event.jobs)
    elif word in _WAITING and before in _HOLDING:
        counted = Sums(returned=1)
    elif word == "done":
        counted = Sums(done=1)
    elif word == "error":
        counted = Sums(failed=1)
    elif word == "deleted" and before in _LIVE:
        counted = Sums(withdrawn=1)
    return counted


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that a wait falls into, as lua/lib/grant_counters does."""
    for number, bound in enumerate(WAIT_BOUNDS, 1):
        if seconds <= bound:
            return number
    return len(WAIT_BOUNDS) + 1


def merge(
    stored: Mapping[str, str], added: Mapping[str, Sums], decode: Decode
) -> tuple[dict[str, Sums], list[str]]:
    """Add sums to those of a step as it is stored.

    Returns:
        The groups to write, and those to delete: owners that are folded into the rest.
    """
    groups = {name: _joined(stored.get(name), sums, decode) for name, sums in added.items()}
    owners = [name for name in {*stored, *groups} if owner_of(name) is not None]
    if len(owners) <= MOST_OWNERS + OWNERS_SLACK:
        return groups, []
    sums_of = {name: groups.get(name) or decode(stored[name]) for name in owners}
    owners.sort(key=lambda name: (sums_of[name].weight, name), reverse=True)
    folded = owners[MOST_OWNERS:]
    rest = _joined(stored.get(REST), groups.pop(REST, Sums()), decode)
    for name in folded:
        rest.add(sums_of[name])
        groups.pop(name, None)
    groups[REST] = rest
    return groups, [name for name in folded if name in stored]


def _joined(stored: str | None, added: Sums, decode: Decode) -> Sums:
    sums = Sums() if stored is None else decode(stored)
    sums.add(added)
    return sums
