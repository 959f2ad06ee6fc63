"""Refusals of valid requests that the current state does not allow."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class Conflict(BrokerError):
    """The request is valid, but the current state does not allow it."""

    status = 409
    code = "conflict"


class DuplicateRequestId(Conflict):
    """A job of the type has this request_id.

    `details` has `same` if the refused submit is the one that was kept, and the job as `data`.
    """

    code = "duplicate_request_id"


class DuplicateCallback(Conflict):
    """A job of the type has this callback. `details` as for DuplicateRequestId."""

    code = "duplicate_callback"


class DuplicateServer(Conflict):
    """Another running job of the type has named the server, or the same call names it twice."""

    code = "duplicate_server"


class IdempotencyKeyReused(Conflict):
    """The owner has used this Idempotency-Key for another submit, whose job is still there."""

    code = "idempotency_key_reused"


class UnknownDependency(Conflict):
    """`after` names a job that the type does not have."""

    code = "unknown_dependency"


class DependencyFailed(Conflict):
    """`after` names a job that is in error, and `after_any` is not given."""

    code = "dependency_failed"


class TypeInUse(Conflict):
    """The type has jobs, hosts or a source: `details` has how many of each as `left`."""

    code = "type_in_use"


class ImpossibleMove(Conflict):
    """The state machine has no such move, see domain.jobs.MOVES."""

    code = "impossible_move"


class StaleFence(Conflict):
    """The fence of the update is not that of the job's newest grant."""

    code = "stale_fence"


class NotWaiting(Conflict):
    """The job, or its neighbour, is not queued."""

    code = "not_waiting"


class NoRoom(Conflict):
    """No priority within ±(2^53−1) is free there, or too many jobs would have to move for it."""

    code = "priority_exhausted"
