"""The keyword arguments of the calls, as types: what the API's bodies and queries take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict


class CountRange(TypedDict):
    """How many instances of a kind a job takes: as many as fit."""

    min: int
    max: int


class Alternative(TypedDict, total=False):
    """What will do for a job."""

    instances: Sequence[Mapping[str, int | list[str] | CountRange]]
    """Resource → amount; the words `require` and `forbid` → traits of this instance's host; `count`
    → how many instances like this."""
    host_aggregate: str
    any_aggregate: list[str]
    """Hosts of any of these."""
    require: list[str]
    """Traits that every host must have."""
    forbid: list[str]
    """Traits that no host may have."""
    spread: bool
    """Whether no two instances are on one host."""


class Data(Alternative, total=False):
    """What a job needs."""

    alternatives: Sequence[Alternative]
    """What will do instead, in order of preference."""
    prefer_for: float
    """Seconds from its submit on in which none of these will do."""


class NewJob(TypedDict):
    """The fields of a job to submit."""

    request_id: str
    owner_id: NotRequired[str]
    """May be left out by whoever acts for one owner only."""
    data: Data | dict[str, Any]
    """What it needs; all other keys are kept for the callback."""
    callback: NotRequired[str]
    """Where the job is called. Without it the grant is an offer that you take by `running`."""
    priority: NotRequired[int]
    expected: NotRequired[float]
    """Seconds it will hold, as far as you know."""
    not_before: NotRequired[str]
    """It is not granted before this time, RFC 3339."""
    give_up_after: NotRequired[float]
    """Seconds in the line after which it ends in error."""
    hold_at_most: NotRequired[float]
    """Seconds that it may run without renewing."""
    after: NotRequired[Sequence[str]]
    """It joins the line once these jobs are `done`."""
    after_any: NotRequired[bool]
    """Whether any end of those jobs will do."""
    count: NotRequired[int]
    """Makes so many jobs, `request_id[0]` and so on; `{n}` in callback and data is the number."""
    at_once: NotRequired[int]
    """How many of these jobs hold capacity at a time, at most."""


class Proposal(TypedDict, total=False):
    """What a what-if forecasts: a job that was not submitted, or a waiting one elsewhere."""

    data: Data | dict[str, Any]
    """What the imagined job needs."""
    request_id: str
    """The waiting job that is moved, with `priority`, `position`, `before` or `after`."""
    owner_id: str
    callback: str
    priority: int
    position: int | str
    """Its place in the line, 1 for the next; `front` or `back`."""
    before: str
    after: str
    expected: float
    """Seconds it would hold."""
    add_hosts: Sequence[Mapping[str, Any]]
    """Hosts that are not there, alone: `count`, and `like` one that is, or a `capacity`."""


class HoldTerms(TypedDict, total=False):
    """What a hold may say about its job, beside what it needs."""

    owner_id: str
    """Left out: that of the token or of `http`; your user name where neither is given."""
    priority: int
    expected: float
    """Seconds it will hold, as far as you know: a wish, no limit."""
    not_before: str
    """It is not granted before this time, RFC 3339."""
    give_up_after: float
    """Seconds in the line after which the broker ends it in error."""
    after: Sequence[str]
    """It joins the line once these jobs are `done`."""
    after_any: bool
    """Whether any end of those jobs will do."""


class JobFilter(TypedDict, total=False):
    """Which jobs a list contains, and whether they come with their ETA."""

    owner_id: str
    status: str
    request_id: str
    """Of an array as a whole, such as `sweep[*]`: its jobs, by their numbers."""
    contains: str
    """Only jobs whose request_id has this text, in any case."""
    callback: str
    """Only the job with this callback."""
    needs: Mapping[str, int]
    """Only jobs that ask for so much of each resource, in all instances together, or more."""
    eta: bool
    """Whether queued jobs come with their `ETA`."""
    reason: bool
    """Whether they come with the `Reason` why they wait."""


class LogFilter(TypedDict, total=False):
    """Which lines of the audit log a page has."""

    who: str
    """Only what this identity did."""
    verb: str
    """Only changes of this kind, such as `withdraw`."""
    request_id: str
    """Only changes of this job."""
    http_request_id: str
    """Only what the request with this `X-Request-ID` did."""
    order: Literal["newest", "oldest"]
    """Which line is the first; the newest if left out."""
    limit: int
    """Most lines, 100 if left out."""


class ReportRange(TypedDict, total=False):
    """What a report is of."""

    since: float
    """Unix time; a day, or 30 days, before `until` if left out."""
    until: float
    """Unix time; now if left out."""
    by: Literal["owner", "size"]
    step: Literal["hour", "day"]
    limit: int
    """Owners that are named, 10 if left out; the others are one."""


class Place(TypedDict, total=False):
    """Where in the queue a job goes: exactly one of these."""

    priority: int
    """The smaller goes first."""
    before: str
    after: str
    position: int | str
    """1 for the next; `front` or `back`."""


class ActionTarget(TypedDict, total=False):
    """To which jobs something is done: those that are named, or those that match a filter."""

    request_ids: Sequence[str]
    filter: ActionFilter
    position: Literal["front", "back"]
    """With `move`: to which end of the line."""
    dry_run: bool
    """Whether it is only told which jobs are meant."""
    cursor: str
    """With a filter: `next` of the call before."""


class ActionFilter(TypedDict, total=False):
    """Jobs of which all that is given is true; something has to be."""

    owner_id: str
    status: str
    callback_destination: str
    """Their callbacks go to this scheme://host:port."""
    error_code: str
    """They are in error with this `Cause` or `Error`."""
    older_than: float
    """Seconds since their submit; 0 means every job."""


class StatusDetails(TypedDict, total=False):
    """What a change of status may carry."""

    fence: int
    """The fence of the newest grant that the caller has seen; an older one is refused."""
    error: str
    """Why the job is in `error`."""
    servers: list[str]
    """The UUIDs that a running job's servers or pods have at its source."""


class HostFields(TypedDict):
    """The fields of a host to publish; amounts are whole numbers by resource name."""

    capacity: Mapping[str, int | Sequence[int]]
    """A list has the size of each device of a resource."""
    used: NotRequired[Mapping[str, int | Sequence[int]]]
    """Of devices a list with what of each; a number counts against each of them."""
    aggregates: NotRequired[list[str]]
    traits: NotRequired[list[str]]
    """What it is like, for demands that require or forbid it."""
    anywhere: NotRequired[bool]
    """Whether it is no place but one capacity for the whole type, such as licences."""
    max_unit: NotRequired[Mapping[str, int]]
    """The most that one instance may have of a resource; all that is free, where not listed."""
    min_unit: NotRequired[Mapping[str, int]]
    """The least that one instance may have of a resource; 1 where not listed."""
    step_size: NotRequired[Mapping[str, int]]
    """What an instance's amount of a resource must be a multiple of; 1 where not listed."""
