"""Refusals of valid requests that the current state does not allow."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class Conflict(BrokerError):
    """The request is valid, but the current state does not allow it."""

    status = 409
    code = "conflict"
    remedy = "Read the present state, and decide anew: the sentence says what stands against it."


class ChangedMeanwhile(BrokerError):
    """The job, or the line where it matters for a move, has changed since what `If-Match` names."""

    status = 412
    code = "changed_meanwhile"
    remedy = (
        "Read the job, decide anew, and send the update with the ETag of that answer. For a move, "
        "look at `preview`, and move by its `line`."
    )


class DuplicateRequestId(Conflict):
    """A job of the type has this `request_id`.

    `details` has `same` if the refused submit is the one that was kept, and the job as `data`.
    """

    code = "duplicate_request_id"
    remedy = (
        "If `same` is true, nothing: the job is yours, in `data`. Otherwise take another "
        "`request_id`, or wait until the job that has it is deleted."
    )


class DuplicateCallback(Conflict):
    """A job of the type has this callback.

    `details` as for DuplicateRequestId.
    """

    code = "duplicate_callback"
    remedy = (
        "If `same` is true, nothing: the job is yours, in `data`. Otherwise put the "
        "`request_id` into the callback's URL, so that each job has its own."
    )


class DuplicateServer(Conflict):
    """Another running job of the type has named the server, or the same call names it twice."""

    code = "duplicate_server"
    remedy = "Name each server once, for the job that it belongs to."


class IdempotencyKeyReused(Conflict):
    """The owner has used this Idempotency-Key for another submit, whose job is still there."""

    code = "idempotency_key_reused"
    remedy = "Make a new key for each new submit; keep one for its repetitions only."


class UnknownDependency(Conflict):
    """`after` names a job that the type does not have."""

    code = "unknown_dependency"
    remedy = "Submit the job that `after` names first, or leave it out."


class DependencyFailed(Conflict):
    """`after` names a job that is in error, and `after_any` is not given."""

    code = "dependency_failed"
    remedy = "Queue that job again, or give `after_any` if its failure does not matter."


class TypeInUse(Conflict):
    """The type has jobs, hosts or a source that is polled: `left` has how many of each."""

    code = "type_in_use"
    remedy = "Delete its jobs, hosts and sources first: `left` counts them."


class ImpossibleMove(Conflict):
    """A job in its present status cannot take the one that is asked for."""

    code = "impossible_move"
    remedy = (
        "Read the job: its status has changed, or does not lead there, see "
        "[Concepts](concepts.md#the-life-of-a-job)."
    )


class StaleFence(Conflict):
    """The fence of the update is not that of the job's newest grant."""

    code = "stale_fence"
    remedy = (
        "Stop using what the earlier grant gave you: the job was granted again, and that grant "
        "is another's."
    )


class NotWaiting(Conflict):
    """The job, or its neighbour, is not in the line: it is not queued, or waits beside the line for
    its own terms. Or it has ended, and has no explanation.
    """

    code = "not_waiting"
    remedy = "Read the job: only a queued one whose [terms](terms.md) are met has a place in line."


class NoRoom(Conflict):
    """No priority is free there, or more than 10,000 jobs would have to move for it."""

    code = "priority_exhausted"
    remedy = "Give `priority` to one of the neighbours first, with a gap of some thousands."
