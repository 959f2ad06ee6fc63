"""The calls that ask the planner: why a job waits, for how long, and what if."""

from __future__ import annotations

from typing import Unpack

from rq_broker.client.arguments import Proposal
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
            and its new `priority` or `position`.

    Returns:
        As `explain`; or the `moves`: whose start would change, from when to when.

    Raises:
        JobNotFound: The type has no such job.
        TooManyQuestions: Too many questions of the type are waiting.
    """
    return Call(data_of, "POST", path("types", type_, "what-if"), proposal)
