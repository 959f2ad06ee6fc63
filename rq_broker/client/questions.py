"""The calls that ask: why a job waits, for how long, what if, and what happened over time."""

from __future__ import annotations

from typing import Unpack

from rq_broker.client.arguments import Proposal, ReportRange
from rq_broker.client.call import Call, Json, data_of, path, whose


def explain(type_: str, request_id: str, *, owner_id: str = "") -> Call[Json]:
    """Explain why a job waits and when it starts, or what has become of its grant.

    Args:
        type_: The queue's name.
        request_id: The job.
        owner_id: As of `read`.

    Returns:
        Of a waiting job its `reason`, `eta`, `shortfalls` and `holders` among others; of a granted
        or running one what is `held`.

    Raises:
        JobNotFound: The type has no such job.
        NotWaiting: The job has ended.
        TooManyQuestions: Too many questions of the type are waiting.
    """
    where = path("v1", type_, request_id, "explain")
    return Call(data_of, "GET", where, query=whose(owner_id))


def what_if(type_: str, **proposal: Unpack[Proposal]) -> Call[Json]:
    """Forecast a job that was not submitted, or the effect of a move; nothing is changed.

    Args:
        type_: The queue's name.
        **proposal: `data` and what a submit takes beside it; or the `request_id` of a waiting job
            and its new `priority` or `position`, or the job `before` or `after` which it goes.

    Returns:
        As `explain`; or the `moves`: whose start would change, from when to when, how many start
        `later` and `sooner`, and the `line`: the version that `reorder` takes as `if_match`.

    Raises:
        JobNotFound: The type has no such job.
        TooManyQuestions: Too many questions of the type are waiting.
    """
    return Call(data_of, "POST", path("types", type_, "what-if"), proposal)


def report(type_: str, **wanted: Unpack[ReportRange]) -> Call[Json]:
    """Sum up what happened to a type's jobs, by hour or day, and by owner or size.

    Args:
        type_: The queue's name.
        **wanted: Of which time, by what, in which steps; the last 24 hours by size if left out.

    Returns:
        The sums of all, as `total`; of each group, as `groups`; and of each of the `steps`, with
        what the type had and what its line asked for.
    """
    names = {"since": "from", "until": "to"}
    query = {names.get(name, name): str(value) for name, value in wanted.items()}
    return Call(data_of, "GET", path("types", type_, "report"), query=query)


def waiting_now(type_: str, *, limit: int = 10) -> Call[Json]:
    """Sum up the jobs in the line of a type, by owner and by size.

    Args:
        type_: The queue's name.
        limit: Owners to name; the others are one.
    """
    query = {"limit": str(limit)}
    return Call(data_of, "GET", path("types", type_, "report", "waiting"), query=query)


def late_holders(type_: str, *, limit: int = 100, owner_id: str = "") -> Call[Json]:
    """List the jobs that hold capacity for longer than expected, the longest beyond first.

    Args:
        type_: The queue's name.
        limit: Jobs to list.
        owner_id: Only jobs of this owner; '' for all that the caller may see.
    """
    query = {"limit": str(limit), **(whose(owner_id) or {})}
    return Call(data_of, "GET", path("types", type_, "report", "holders"), query=query)
