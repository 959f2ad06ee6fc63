"""The JSON objects of reports: what happened over time, what waits now, who holds for too long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from rq_broker.admission.report_reader import Outlasting, Report, ReportedStep, WaitingNow
from rq_broker.admission.waiting_sums import WaitingGroup
from rq_broker.api.type_metrics import size_label
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.devices import resource_of
from rq_broker.domain.figures import LEAST_SIZE, MOST_SIZE, WAIT_BOUNDS
from rq_broker.domain.names import request_id_in
from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import REST, owner_of, size_of
from rq_broker.domain.representation import Count, JsonObject, Seconds

_HOUR = 3600.0
_UnixTime = Annotated[float, Meta(description="Unix time.")]
_Size = Annotated[
    int | UnsetType,
    Meta(
        description="Of a size class: jobs of 2^size largest hosts, and less than twice that. The "
        "smallest takes in smaller ones, the largest larger ones.",
        extra_json_schema={"minimum": LEAST_SIZE, "maximum": MOST_SIZE},
    ),
]
_Label = Annotated[
    str | UnsetType, Meta(description="The same in words, in largest hosts: `1/4`, `2`.")
]
_Owner = Annotated[str | UnsetType, Meta(description="Of an owner.")]
_IsRest = Annotated[Literal[True] | UnsetType, Meta(description="All others, which are not named.")]
_Floats = Mapping[str, Annotated[float, Meta(ge=0)]]


class WaitsView(JsonObject, frozen=True):
    """How long jobs had waited when they were granted."""

    count: Annotated[Count, Meta(description="Grants whose wait is known.")]
    mean: Seconds | None
    p50: Annotated[
        Seconds | None,
        Meta(
            description="Half waited no longer. A bound, from the buckets and the mean: it may be "
            "as much above as its bucket is wide."
        ),
    ]
    p90: Annotated[Seconds | None, Meta(description="The same of 9 in 10.")]
    buckets: Annotated[
        list[Count] | UnsetType,
        Meta(description="Grants that waited up to each of `wait_bounds`, then those that longer."),
    ] = UNSET


class SumsView(JsonObject, frozen=True):
    """What happened to the jobs of a group."""

    submitted: Annotated[
        Count, Meta(description="0 by size: how large a job is, is known at its grant.")
    ]
    granted: Count
    returned: Annotated[Count, Meta(description="Grants after which the job went back to the line")]
    done: Count
    failed: Count
    withdrawn: Count
    waits: WaitsView
    held: Annotated[
        _Floats, Meta(description="Resource to amount times hours that jobs had of it.")
    ]


class GroupView(SumsView, frozen=True, kw_only=True):
    """What happened to the jobs of one owner, or of one size class."""

    owner_id: _Owner = UNSET
    size: _Size = UNSET
    label: _Label = UNSET
    other: _IsRest = UNSET


class StepView(JsonObject, frozen=True):
    """One hour, or one day."""

    start: _UnixTime
    end: _UnixTime
    known: Annotated[
        Seconds, Meta(description="Seconds for which capacity and what waits are known.")
    ]
    uncounted: Annotated[
        Seconds, Meta(description="Seconds whose events were gone before they were counted.")
    ]
    capacity: Annotated[_Floats, Meta(description="Of the hosts in service, on average.")]
    used: Annotated[_Floats, Meta(description="As the sources report it, on average.")]
    held: Annotated[_Floats, Meta(description="By grants, on average.")]
    waiting: Annotated[
        _Floats, Meta(description="What jobs in the line asked for of what hosts had, on average.")
    ]
    waiting_jobs: Annotated[Seconds, Meta(description="Jobs in the line, on average.")]
    total: SumsView
    groups: list[GroupView]


class ReportView(JsonObject, frozen=True):
    """What happened to the jobs of a type over time."""

    type: str
    by: Literal["owner", "size"]
    step: Literal["hour", "day"]
    start: _UnixTime
    end: _UnixTime
    counted_since: Annotated[
        float | None, Meta(description="Unix time of the first event that was ever counted.")
    ]
    counted_until: Annotated[
        float | None, Meta(description="Unix time up to which events are counted: seconds ago.")
    ]
    wait_bounds: Annotated[list[Count], Meta(description="Seconds, of the buckets of waits.")]
    total: SumsView
    groups: Annotated[list[GroupView], Meta(description="The largest first; by size, by size.")]
    steps: Annotated[
        list[StepView],
        Meta(description="The oldest first; one of which nothing is known is left out."),
    ]


class WaitingGroupView(JsonObject, frozen=True, kw_only=True):
    """Jobs in the line, summed up."""

    owner_id: _Owner = UNSET
    size: _Size = UNSET
    label: _Label = UNSET
    other: _IsRest = UNSET
    jobs: Count
    amounts: Annotated[
        Amounts,
        Meta(
            description="What they ask for of what hosts have: of a choice the first, of a range "
            "the least."
        ),
    ]
    oldest: Annotated[
        Seconds | None, Meta(description="For how long the first of them that was submitted waits.")
    ]


class WaitingNowView(JsonObject, frozen=True):
    """What waits in a type now."""

    total: WaitingGroupView
    is_complete: Annotated[
        bool, Meta(description="false: more kinds of jobs wait, these are in front.")
    ]
    owners: Annotated[list[WaitingGroupView], Meta(description="Those with most jobs first.")]
    sizes: Annotated[list[WaitingGroupView], Meta(description="The smallest first.")]


class OutlastingView(JsonObject, frozen=True):
    """A job that holds capacity for longer than was expected."""

    request_id: str
    owner_id: str
    granted: _UnixTime
    seconds: Annotated[Seconds, Meta(description="How long it has held it.")]
    expected: Annotated[Seconds, Meta(description="How long that was expected to last.")]
    expected_from: Annotated[
        str,
        Meta(description="`expected`: the job said so; else what the prediction rests on."),
    ]
    beyond: Annotated[Seconds, Meta(description="seconds − expected.")]
    hosts: list[str]
    amounts: Annotated[Amounts, Meta(description="What it has, on all hosts together.")]


class HoldersView(JsonObject, frozen=True):
    """The jobs that hold capacity for longer than was expected."""

    total: Annotated[Count, Meta(description="How many there are.")]
    jobs: Annotated[list[OutlastingView], Meta(description="The longest beyond first.")]


# Building them


def report_view(type_: str, by: Literal["owner", "size"], report: Report) -> ReportView:
    """Build the view of a report."""
    first, last = report.steps[0].step, report.steps[-1].step
    return ReportView(
        type_,
        by,
        first.kind,
        float(first.start),
        float(last.end),
        report.state.since or None,
        report.state.until or None,
        list(WAIT_BOUNDS),
        _sums_view(report.total, buckets=True),
        [_group_view(name, sums, buckets=True) for name, sums in report.groups.items()],
        [_step_view(step, report.groups) for step in report.steps if not step.is_empty],
    )


def _step_view(known: ReportedStep, order: Mapping[str, Sums]) -> StepView:
    level = known.level
    return StepView(
        float(known.step.start),
        float(known.step.end),
        round(level.seconds, 3),
        round(level.uncounted, 3),
        _mean(level, level.capacity),
        _mean(level, level.used),
        _mean(level, level.held),
        _mean(level, _of_hosts(level)),
        round(level.jobs / level.seconds, 3) if level.seconds else 0.0,
        _sums_view(known.total),
        [_group_view(name, known.groups[name]) for name in order if name in known.groups],
    )


def _of_hosts(level: Level) -> dict[str, float]:
    """Return what waited of what hosts had. Earlier versions counted any name in a demand."""
    resources = {resource_of(name) for name in level.capacity}
    return {name: amount for name, amount in level.waiting.items() if name in resources}


def _mean(level: Level, amounts: Mapping[str, float]) -> dict[str, float]:
    if not level.seconds:
        return {}
    return {name: round(amounts[name] / level.seconds, 3) for name in sorted(amounts)}


def _sums_view(sums: Sums, *, buckets: bool = False) -> SumsView:
    return SumsView(**_fields(sums, buckets=buckets))


def _group_view(name: str, sums: Sums, *, buckets: bool = False) -> GroupView:
    return GroupView(**_fields(sums, buckets=buckets), **_label_of(name))


def _fields(sums: Sums, *, buckets: bool) -> dict[str, Any]:
    count = sums.counted_waits
    numbers = range(1, len(WAIT_BOUNDS) + 2)
    waits = WaitsView(
        count,
        round(sums.waited / count, 3) if count else None,
        _rounded(sums.wait_bound(0.5)),
        _rounded(sums.wait_bound(0.9)),
        [sums.waits.get(number, 0) for number in numbers] if buckets else UNSET,
    )
    held = {
        name: round(sums.held[name] / _HOUR, 6) for name in sorted(sums.held) if sums.held[name]
    }
    return {
        "submitted": sums.submitted,
        "granted": sums.granted,
        "returned": sums.returned,
        "done": sums.done,
        "failed": sums.failed,
        "withdrawn": sums.withdrawn,
        "waits": waits,
        "held": held,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _label_of(name: str) -> dict[str, Any]:
    """Return the fields that name a group."""
    if name == REST:
        return {"other": True}
    size = size_of(name)
    if size is not None:
        return {"size": size, "label": size_label(size)}
    return {"owner_id": owner_of(name)}


def waiting_view(waiting: WaitingNow, limit: int, owners: frozenset[str] | None) -> WaitingNowView:
    """Build the view of the line; owners beyond the limit, or that may not be named, are one."""
    sums = waiting.sums
    largest = sorted(sums.by_owner.items(), key=lambda item: (-item[1].jobs, item[0]))
    named = [name for name, _ in largest if owners is None or name in owners][:limit]
    rest = [group for name, group in largest if name not in set(named)]
    views = [_waiting_view(waiting, sums.by_owner[name], owner_id=name) for name in named]
    if rest:
        views.append(_waiting_view(waiting, _joined(rest), other=True))
    return WaitingNowView(
        _waiting_view(waiting, sums.total),
        sums.is_complete,
        views,
        [
            _waiting_view(waiting, group, size=size, label=size_label(size))
            for size, group in sorted(sums.by_size.items())
        ],
    )


def _joined(groups: list[WaitingGroup]) -> WaitingGroup:
    joined = WaitingGroup()
    for group in groups:
        joined.jobs += group.jobs
        joined.amounts.update(group.amounts)
        heads = [head for head in (joined.earliest, group.earliest) if head]
        joined.earliest = min(heads, key=lambda head: head.id, default=None)
    return joined


def _waiting_view(waiting: WaitingNow, group: WaitingGroup, **label: Any) -> WaitingGroupView:
    return WaitingGroupView(
        jobs=group.jobs,
        amounts=dict(sorted(group.amounts.items())),
        oldest=_rounded(waiting.oldest(group)),
        **label,
    )


def holders_view(jobs: list[Outlasting], total: int) -> HoldersView:
    """Build the view of the jobs that outlast what was expected."""
    return HoldersView(total, [_outlasting_view(job) for job in jobs])


def _outlasting_view(job: Outlasting) -> OutlastingView:
    hold = job.hold
    amounts: dict[str, int] = {}
    for of_host in hold.amounts.values():
        for name, amount in of_host.items():
            if "/" not in name:
                amounts[name] = amounts.get(name, 0) + amount
    return OutlastingView(
        request_id_in(hold.request_id),
        hold.owner,
        hold.granted,
        round(job.seconds, 3),
        round(job.expected, 3),
        "expected" if job.is_said else hold.predicted_from,
        round(job.beyond, 3),
        sorted(hold.amounts),
        dict(sorted(amounts.items())),
    )
