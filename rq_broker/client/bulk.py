"""The calls on many jobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

from rq_broker.client.arguments import ActionTarget, NewJob
from rq_broker.client.call import Call, Json, new_key, path, whose, with_warning

_REPEATABLE = ("move", "done")
"""Actions that change nothing where they are carried out again. A withdrawal would be refused as
one of a job that is gone, and a requeue would take back a grant made in between."""


def submit_many(
    type_: str, jobs: Sequence[NewJob], *, idempotency_key: str | None = None
) -> Call[Json]:
    """Submit up to 1,000 jobs, each as if alone: one that is refused stops no other.

    Args:
        type_: The queue's name.
        jobs: As `submit` takes them, but for arrays.
        idempotency_key: As of `submit`; one for all of them.

    Returns:
        `jobs`: for each its `status`, and the job as `data` or the `code` of its refusal; `stored`:
        how many are in the queue; `refused`: code → how many.
    """
    where = path("types", type_, "jobs")
    key = idempotency_key or new_key()
    return Call(with_warning, "POST", where, {"jobs": list(jobs)}, idempotency_key=key)


def act(
    type_: str,
    action: Literal["withdraw", "requeue", "move", "done"],
    *,
    owner_id: str = "",
    **target: Unpack[ActionTarget],
) -> Call[Json]:
    """Do one thing to many jobs: 1,000 at most that are named, or those that match a filter.

    Args:
        type_: The queue's name.
        action: What is done to each.
        owner_id: Whose jobs are named, as of `read`.
        **target: Which jobs; and to which end of the line they move.

    Returns:
        `matched` and `changed`: how many; `refused`: code → how many; `refusals`: which, and why;
        `next`: the `cursor` of the next call where more match the filter, else None. In a dry run
        the first 20 as `jobs`.

    Raises:
        NoRoom: There is no priority left at that end of the line.
    """
    repeatable = action in _REPEATABLE or target.get("dry_run", False)
    body = {"action": action, **target}
    where = path("types", type_, "actions")
    return Call(_acted, "POST", where, body, query=whose(owner_id), repeatable=repeatable)


def _acted(envelope: Json) -> Json:
    return {**envelope["data"], "next": envelope["next"]}
