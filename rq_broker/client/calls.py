"""The calls of the HTTP API, one function a verb: what it sends and what its answer holds.

Both clients have a method for each function here, except `page`, which their `jobs` repeats. The
function's arguments and the result that its Call names are those of the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from rq_broker.client.arguments import (
    HostFields,
    JobFilter,
    LogFilter,
    NewJob,
    Place,
    StatusDetails,
)
from rq_broker.client.call import Call, Json, data_of, new_key, path, whose, with_warning
from rq_broker.client.policy_types import PolicyChange

PAGE_LIMIT = 500
"""Jobs asked for at a time. A larger page takes the API longer, a smaller one more requests."""


def _nothing(_: Json) -> None:
    return None


def _page(envelope: Json) -> tuple[list[Json], str | None]:
    return envelope["data"], envelope["next"]


# Jobs


def submit(type_: str, *, idempotency_key: str | None = None, **job: Unpack[NewJob]) -> Call[Json]:
    """Submit a job.

    Args:
        type_: The queue's name.
        idempotency_key: At most 255 printable ASCII characters that name this submit. Give your own
            to repeat the submit yourself, for example after your process restarts; by default each
            call has a new one, which its own retries share.
        **job: The fields of the job.

    Returns:
        The job: queued, or as it is now if an earlier attempt stored it. `Warning` says why it
        might never start.

    Raises:
        DuplicateRequestId: The type has a job of this `request_id`. Its `details` have `same` if it
            was submitted just so, and then the job as `data`.
        DuplicateCallback: A job of the type has this `callback`; `details` likewise.
        IdempotencyKeyReused: The owner used the key for another submit.
        CallbackForbidden: The broker never calls this address.
        ExpectedTooLong: `expected` is over the policy's `expected_most`.
        UnknownDependency: `after` names a job that the type does not have.
        DependencyFailed: `after` names a job in error, without `after_any`.
        OlderNotifiers: A notifier that does not know these fields serves the type.
    """
    key = idempotency_key or new_key()
    return Call(with_warning, "POST", path("v1", type_), job, idempotency_key=key)


def page(
    type_: str, cursor: str, **filters: Unpack[JobFilter]
) -> Call[tuple[list[Json], str | None]]:
    """Read one page of jobs in priority order.

    Args:
        type_: The queue's name.
        cursor: Empty for the first page, then as the page before returned it.
        **filters: Which jobs the list contains; with `eta` and `reason`, queued
            ones have these.

    Returns:
        The jobs, and the cursor of the next page; None on the last one.
    """
    query = {
        "owner_id": filters.get("owner_id", ""),
        "status": filters.get("status", ""),
        "limit": str(PAGE_LIMIT),
        "cursor": cursor,
        "eta": "1" if filters.get("eta") else "0",
    }
    for name in ("request_id", "contains", "callback"):
        if text := filters.get(name):
            query[name] = str(text)
    if needs := filters.get("needs"):
        query["needs"] = ",".join(f"{resource}:{amount}" for resource, amount in needs.items())
    if filters.get("reason"):
        query["reason"] = "1"
    return Call(_page, "GET", path("v1", type_), query=query)


def read(
    type_: str,
    request_id: str,
    *,
    owner_id: str = "",
    wait: int = 0,
    until: Sequence[str] = (),
) -> Call[Json]:
    """Read one job.

    Args:
        type_: The queue's name.
        request_id: The job.
        owner_id: Whose job it is. Needed where the policy's `names` are per owner, unless your
            identity has one owner only; so it is in all calls on one job.
        wait: Whole seconds, 60 at most, that the API waits for one of the statuses to come.
        until: The statuses to wait for, or one alone; without them, any but `queued`.

    Returns:
        The job; while it waits, with its `Position` and the `Reason` why it waits.

    Raises:
        JobNotFound: The type has no such job.
    """
    query = whose(owner_id) or {}
    if wait:
        words = until if isinstance(until, str) else ",".join(until)
        query |= {"wait": str(wait), **({"until": words} if words else {})}
    return Call(data_of, "GET", path("v1", type_, request_id), query=query or None, wait=wait)


def reorder(
    type_: str, request_id: str, *, owner_id: str = "", if_match: str = "", **place: Unpack[Place]
) -> Call[Json]:
    """Move a job within the queue.

    Args:
        type_: The queue's name.
        request_id: The job.
        owner_id: As of `read`.
        if_match: A version of the line, the `line` of a `what_if` of this move. The job is moved
            only if that delays no job that it did not delay then. Not with `priority`.
        **place: Where to.

    Returns:
        From where to where (`was`, `position`), and `undo`: the `position`, and as `line` the
        `if_match`, that move it back. Empty for a `priority`.

    Raises:
        JobNotFound: The type has no such job.
        NotWaiting: `before`, `after` and `position` need queued jobs.
        NoRoom: There is no free priority at that place.
        ChangedMeanwhile: Not so by `if_match`; its `details` have the new `preview`, as `what_if`
            returns it.
    """
    where = path("v1", type_, request_id)
    return Call(data_of, "POST", where, place, query=whose(owner_id), if_match=if_match)


def transition(
    type_: str,
    request_id: str,
    status: str,
    *,
    owner_id: str = "",
    **details: Unpack[StatusDetails],
) -> Call[None]:
    """Give a job another status.

    Raises:
        JobNotFound: The type has no such job.
        ImpossibleMove: A job does not go from its present status to this one.
        StaleFence: The job was granted again since the grant with this `fence`.
    """
    body = {"status": status, **details}
    # Repeated without its fence, `queued` would take back a grant made in between.
    repeatable = status != "queued" or "fence" in details
    where = path("v1", type_, request_id)
    return Call(_nothing, "POST", where, body, query=whose(owner_id), repeatable=repeatable)


def set_expected(
    type_: str, request_id: str, expected: float | None, *, owner_id: str = ""
) -> Call[None]:
    """Change how long a job says it will hold.

    Args:
        type_: The queue's name.
        request_id: The job: queued, granted or running.
        expected: Seconds from its grant on; None if it does not say any more.
        owner_id: As of `read`.

    Raises:
        JobNotFound: The type has no such job.
        ExpectedTooLong: It is over the policy's `expected_most`.
        Conflict: The job is `done` or in `error`.
    """
    where, body = path("v1", type_, request_id), {"expected": expected}
    return Call(_nothing, "POST", where, body, query=whose(owner_id))


def withdraw(type_: str, request_id: str, *, owner_id: str = "") -> Call[None]:
    """Remove a job, and release what it holds.

    Raises:
        AlreadyWithdrawn: Another call withdrew it within the last day; a JobNotFound as well.
        JobNotFound: The type has no such job.
    """
    where = path("v1", type_, request_id)
    query = whose(owner_id)
    return Call(_nothing, "DELETE", where, query=query, idempotency_key=new_key())


def attempts(type_: str, request_id: str, *, owner_id: str = "") -> Call[list[Json]]:
    """Read the attempts to call a job back.

    Returns:
        Time and outcome of each attempt, oldest first.

    Raises:
        JobNotFound: The type has no such job.
    """
    where = path("v1", type_, request_id, "attempts")
    return Call(data_of, "GET", where, query=whose(owner_id))


# Types


def types() -> Call[Json]:
    """Count the jobs of every type.

    Returns:
        Type → status → number of jobs.
    """
    return Call(data_of, "GET", path("v1"))


def policy(type_: str) -> Call[Json]:
    """Read a type's `policy` and the `counts` of its jobs; `Warning` says what is odd about it."""
    return Call(with_warning, "GET", path("types", type_))


def set_policy(type_: str, **changes: Unpack[PolicyChange]) -> Call[Json]:
    """Change fields of a type's policy; the others stay.

    Returns:
        As `policy`, after the change.

    Raises:
        Invalid: A field is unknown or out of bounds; the sentence names it.
    """
    return Call(with_warning, "PUT", path("types", type_), changes)


def drop_type(type_: str) -> Call[None]:
    """Forget an empty type, its policy and its signing keys.

    Raises:
        TypeInUse: It has jobs, hosts or a source; `details` has how many of each as `left`.
    """
    return Call(_nothing, "DELETE", path("types", type_))


def audit_log(
    type_: str | None, cursor: str = "", **filters: Unpack[LogFilter]
) -> Call[tuple[list[Json], str | None]]:
    """Read one page of the audit log.

    Args:
        type_: The queue's name; None for what belongs to no type.
        cursor: Empty for the first page, then as the page before returned it; or a line's `id`.
        **filters: Which lines, and in which order.

    Returns:
        The lines, and the cursor of the next page; None on the last one.
    """
    where = path("audit") if type_ is None else path("types", type_, "audit")
    query = {name: str(value) for name, value in filters.items()}
    return Call(_page, "GET", where, query={**query, "cursor": cursor})


# Hosts


def hosts(type_: str) -> Call[list[Json]]:
    """Read all hosts of a type, ordered by name."""
    return Call(data_of, "GET", path("types", type_, "hosts"))


def host(type_: str, name: str) -> Call[Json]:
    """Read one host.

    Returns:
        The host, with what is `held` of it and what is `free`.

    Raises:
        HostNotFound: The type has no such host.
    """
    return Call(data_of, "GET", path("types", type_, "hosts", name))


def set_host(type_: str, name: str, **host: Unpack[HostFields]) -> Call[Json]:
    """Publish a host: a new one, or the new figures of a present one.

    Returns:
        As `host`.
    """
    return Call(data_of, "PUT", path("types", type_, "hosts", name), host)


def drop_host(type_: str, name: str) -> Call[None]:
    """Take a host out of service; its jobs keep what they hold.

    Raises:
        HostNotFound: The type has no such host.
    """
    return Call(_nothing, "DELETE", path("types", type_, "hosts", name))
