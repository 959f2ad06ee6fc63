"""Every refusal of the broker, as one tree of exceptions.

    BrokerError
    ├── Invalid                 400  invalid_request        the body, a field or a parameter
    │   ├── Malformed           400  malformed_request      it is no HTTP/1.1
    │   ├── Unreadable          400  unreadable_json
    │   ├── CallbackForbidden   400  callback_forbidden     no courier may dial it, see egress
    │   ├── ExpectedTooLong     400  expected_too_long      over the policy's expected_most
    │   ├── InvalidServer       400  invalid_server         no name that a source has for one
    │   └── TooManyKinds        400  too_many_kinds         over the policy's most_kinds
    ├── NotFound                404  not_found              an unknown path
    │   ├── JobNotFound         404  job_not_found
    │   │   └── AlreadyWithdrawn 404  already_withdrawn     an earlier call withdrew it
    │   ├── HostNotFound        404  host_not_found
    │   ├── SourceNotFound      404  source_not_found
    │   └── DestinationNotFound 404  destination_not_found
    ├── MethodNotAllowed        405  method_not_allowed
    ├── Conflict                409  conflict
    │   ├── DuplicateRequestId  409  duplicate_request_id
    │   ├── DuplicateCallback   409  duplicate_callback
    │   ├── DuplicateServer     409  duplicate_server       two jobs name one, or one job twice
    │   ├── IdempotencyKeyReused 409  idempotency_key_reused  for another request
    │   ├── UnknownDependency   409  unknown_dependency     `after` names no job of the type
    │   ├── DependencyFailed    409  dependency_failed      `after` names a job in error
    │   ├── TypeInUse           409  type_in_use            it has jobs, hosts or sources
    │   ├── ImpossibleMove      409  impossible_move
    │   ├── StaleFence          409  stale_fence
    │   ├── NotWaiting          409  not_waiting            the job is not queued
    │   └── NoRoom              409  priority_exhausted
    ├── RequestTimeout          408  request_timeout
    ├── TooLarge                413  body_too_large
    ├── UriTooLong              414  uri_too_long
    ├── HeadersTooLarge         431  headers_too_large
    ├── TooManyQuestions        429  too_many_questions     explanations, what-ifs of a type
    ├── Internal                500  internal_error
    ├── OlderNotifiers          503  older_notifiers        they would misread the job
    ├── TooManyConnections      503  too_many_connections   nothing was read
    └── Unavailable             503  redis_unavailable
        ├── RedisOutOfMemory    503  redis_out_of_memory
        ├── RedisCannotSave     503  redis_cannot_save
        ├── RedisReadOnly       503  redis_read_only        a demoted primary, a replica
        ├── RedisLacksReplicas  503  redis_lacks_replicas
        ├── RedisClusterDown    503  redis_cluster_down
        ├── RedisLoading        503  redis_loading
        ├── RedisBusy           503  redis_busy             it runs somebody's long script
        ├── RedisRefuses        503  redis_refuses          its login or its access rights
        ├── Resharding          503  resharding             of the type's slot alone
        └── NotReplicated       503  not_replicated         carried out, but not copied in time

A published code keeps its meaning for ever. Lua scripts refuse by the same tree: they answer
`<WORD> <sentence>`, where WORD is the code in capitals, and `by_word` maps it to the class.
"""

from __future__ import annotations

from collections.abc import Mapping


class BrokerError(Exception):
    """The root. Its text is a sentence for people; `code` is for programs, `status` for HTTP.

    Args:
        sentence: The text.
        details: What stands beside the sentence in the envelope of an answer, such as `same`.
    """

    status = 500
    code = "error"

    def __init__(self, sentence: str = "", **details: object) -> None:
        super().__init__(sentence)
        self.details: Mapping[str, object] = details


class Invalid(BrokerError):
    """The request has a field, a parameter or a header that is not valid; the sentence names it."""

    status = 400
    code = "invalid_request"


class Malformed(Invalid):
    """What came is not a request of HTTP/1.1. The connection closes."""

    code = "malformed_request"


class Unreadable(Invalid):
    """The body is not JSON, or not JSON that can be kept exactly."""

    code = "unreadable_json"


class CallbackForbidden(Invalid):
    """The callback goes to an address that the broker never calls."""

    code = "callback_forbidden"


class ExpectedTooLong(Invalid):
    """The job says that it will hold for longer than the policy's `expected_most`."""

    code = "expected_too_long"


class InvalidServer(Invalid):
    """A server is not named as the type's sources name servers; the sentence says which one."""

    code = "invalid_server"


class TooManyKinds(Invalid):
    """The job lists more amounts than the policy's `most_kinds`."""

    code = "too_many_kinds"

    @classmethod
    def check(cls, kinds: int, most: int) -> None:
        """Raise the error if a demand has more kinds than the policy's most."""
        if kinds > most:
            raise cls(
                f"data.instances lists {kinds} amounts, those of equal instances once; "
                f"the policy's most_kinds is {most}"
            )


class NotFound(BrokerError):
    """There is no such path."""

    status = 404
    code = "not_found"


class JobNotFound(NotFound):
    """The type has no such job."""

    code = "job_not_found"


class AlreadyWithdrawn(JobNotFound):
    """The type has no such job any more: it was withdrawn within the last day."""

    code = "already_withdrawn"


class HostNotFound(NotFound):
    """The type has no such host."""

    code = "host_not_found"


class SourceNotFound(NotFound):
    """The type has no such source."""

    code = "source_not_found"


class DestinationNotFound(NotFound):
    """No job of the type was ever granted with a callback to this destination."""

    code = "destination_not_found"


class MethodNotAllowed(BrokerError):
    """The path does not have this method."""

    status = 405
    code = "method_not_allowed"


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


class TooLarge(BrokerError):
    """The body is larger than the API reads."""

    status = 413
    code = "body_too_large"


class RequestTimeout(BrokerError):
    """The client did not send its request in time. It was not carried out."""

    status = 408
    code = "request_timeout"


class UriTooLong(BrokerError):
    """The URL is longer than the API reads."""

    status = 414
    code = "uri_too_long"


class HeadersTooLarge(BrokerError):
    """URL and headers are larger than the API reads."""

    status = 431
    code = "headers_too_large"


class TooManyConnections(BrokerError):
    """As many connections are open as the process serves. The request was not read: repeat it."""

    status = 503
    code = "too_many_connections"


class Internal(BrokerError):
    """A fault of the broker; its log has the details."""

    code = "internal_error"


class OlderNotifiers(BrokerError):
    """A job asks for what a notifier that serves its type does not know. Upgrade that first."""

    status = 503
    code = "older_notifiers"


class TooManyQuestions(BrokerError):
    """So many explanations or what-ifs of the type wait already that this one is not begun."""

    status = 429
    code = "too_many_questions"
    retry_after = 2
    """Seconds until a caller should ask again."""


class Unavailable(BrokerError):
    """Redis does not answer. The call may have been carried out: repeat it.

    The subclasses say why a Redis that answers cannot serve, see store/redis_errors.
    """

    status = 503
    code = "redis_unavailable"
    retry_after = 1
    """Seconds until a caller should repeat the call, about what the cause lasts at least."""


class RedisOutOfMemory(Unavailable):
    """Redis is at its `maxmemory` and refuses writes; the call was not carried out."""

    code = "redis_out_of_memory"
    retry_after = 5


class RedisCannotSave(Unavailable):
    """Redis cannot write to its disk and refuses writes; the call was not carried out."""

    code = "redis_cannot_save"
    retry_after = 5


class RedisReadOnly(Unavailable):
    """The Redis that answered is a replica, or became one; the call was not carried out."""

    code = "redis_read_only"


class RedisLacksReplicas(Unavailable):
    """Redis has fewer replicas than its `min-replicas-to-write`; the call was not carried out."""

    code = "redis_lacks_replicas"
    retry_after = 2


class RedisClusterDown(Unavailable):
    """The cluster serves no slot, or not this type's; the call was not carried out."""

    code = "redis_cluster_down"
    retry_after = 2


class RedisLoading(Unavailable):
    """Redis loads its data after a start; the call was not carried out."""

    code = "redis_loading"
    retry_after = 2


class RedisBusy(Unavailable):
    """Redis runs a script for longer than its limit; the call was not carried out."""

    code = "redis_busy"


class RedisRefuses(Unavailable):
    """Redis refuses the broker's login, or lacks a right that the call needs."""

    code = "redis_refuses"
    retry_after = 30


class Resharding(Unavailable):
    """The slot of this type moves to another node of the cluster; other types are served."""

    code = "resharding"


class NotReplicated(Unavailable):
    """The call was carried out, but fewer replicas than required acknowledged it in time."""

    code = "not_replicated"


def _tree(root: type[BrokerError]) -> list[type[BrokerError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def by_word() -> dict[str, type[BrokerError]]:
    """Return the word of a script's error reply → the exception to raise, for the whole tree."""
    return {cls.code.upper(): cls for cls in _tree(BrokerError)}
