"""Reports of a type: events summed by hour and by day, so that they can be told long afterwards.

Each event is added to an hour and a day, there to all jobs, to its owner and to its size class. How
much capacity a job had is known when its grant ends, and is then spread over the hours and days
since it was granted. What still runs is added when a report is read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
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
_FIELDS = {"granted": "granted", "done": "done", "error": "failed"}
"""Status → the field of sums that counts jobs which get it."""


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
        word = _counted(event)
        names = [ALL, _OWNER + event.owner]
        if event.size is not None:
            names.append(size_group(event.size))
        for kind in LENGTHS:
            step = step_at(kind, event.at)
            groups = self._groups(step, names) if word or event.held else ()
            if word:
                for sums in groups:
                    setattr(sums, word, getattr(sums, word) + event.jobs)
            if event.waited is not None:
                bucket = bucket_of(event.waited)
                for sums in groups:
                    sums.waited += event.waited
                    sums.waits[bucket] = sums.waits.get(bucket, 0) + 1
            if event.held:
                self._add_hold(event, step, groups, names)

    def _add_hold(
        self, event: Happening, step: Step, groups: Iterable[Sums], names: Iterable[str]
    ) -> None:
        """Spread what a grant gave over the steps of its time; it ends in `step`."""
        # An amount of 0 may be of a resource that no host has: a name that its owner made up.
        held, amounts = event.held or 0.0, [item for item in event.amounts.items() if item[1]]
        given = dict(amounts[:MOST_RESOURCES])
        if event.at - held >= step.start:  # all of it in one step, as of most short jobs
            parts: Iterable[tuple[Iterable[Sums], float]] = ((groups, held),)
        else:
            times = steps_between(step.kind, event.at - held, event.at)
            parts = ((self._groups(each, names), seconds) for each, seconds in times)
        for of_step, seconds in parts:
            for sums in of_step:
                add_amounts(sums.held, given, seconds)

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

    def _groups(self, step: Step, names: Iterable[str]) -> list[Sums]:
        of_step = self.sums.get(step)
        if of_step is None:
            of_step = self.sums[step] = {}
        groups = []
        for name in names:
            sums = of_step.get(name)
            if sums is None:
                sums = of_step[name] = Sums()
            groups.append(sums)
        return groups


def _counted(event: Happening) -> str | None:
    """Return the field of sums in which an event is counted; None for none."""
    word, before = event.word, event.before
    if word in _WAITING:
        if not before:
            return "submitted"
        return "returned" if before in _HOLDING else None
    if word == "deleted":
        return "withdrawn" if before in _LIVE else None
    return _FIELDS.get(word)


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that a wait falls into, as lua/lib/grant_counters does."""
    return bisect_left(WAIT_BOUNDS, seconds) + 1


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
