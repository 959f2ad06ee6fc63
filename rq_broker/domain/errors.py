"""Everything that can be refused, drawn as one tree.

    BrokerError
    ├── Invalid                 400  invalid_request        the body, a field or a parameter
    │   ├── Unreadable          400  unreadable_json
    │   └── CallbackForbidden   400  callback_forbidden     could never be dialled, see egress
    ├── NotFound                404  not_found              a path
    │   ├── JobNotFound         404  job_not_found
    │   ├── HostNotFound        404  host_not_found
    │   └── DestinationNotFound 404  destination_not_found
    ├── MethodNotAllowed        405  method_not_allowed
    ├── Conflict                409  conflict
    │   ├── DuplicateRequestId  409  duplicate_request_id
    │   ├── DuplicateCallback   409  duplicate_callback
    │   ├── ImpossibleMove      409  impossible_move
    │   ├── StaleFence          409  stale_fence
    │   ├── NotWaiting          409  not_waiting            before/after/position need a queued job
    │   └── NoRoom              409  priority_exhausted
    ├── TooLarge                413  body_too_large
    ├── Internal                500  internal_error
    └── Unavailable             503  redis_unavailable

A code, once published, keeps its meaning for ever. Lua speaks the same tree: a script answers
`<WORD> <sentence>`, where WORD is the class's code in capitals, and `from_word` finds the class.
"""

from __future__ import annotations


class BrokerError(Exception):
    """The root: carries the sentence for people, `code` for programs, `status` for HTTP."""

    status = 500
    code = "error"


class Invalid(BrokerError):
    """The request says something the broker cannot accept; the sentence names the field."""

    status = 400
    code = "invalid_request"


class Unreadable(Invalid):
    """The body is not the JSON it should be."""

    code = "unreadable_json"


class CallbackForbidden(Invalid):
    """The callback's address is one the broker never calls."""

    code = "callback_forbidden"


class NotFound(BrokerError):
    """Nothing lives at that path."""

    status = 404
    code = "not_found"


class JobNotFound(NotFound):
    """The type has no such job."""

    code = "job_not_found"


class HostNotFound(NotFound):
    """The type has no such host."""

    code = "host_not_found"


class DestinationNotFound(NotFound):
    """No job of the type was ever granted to be called there."""

    code = "destination_not_found"


class MethodNotAllowed(BrokerError):
    """The path exists; the method does not."""

    status = 405
    code = "method_not_allowed"


class Conflict(BrokerError):
    """The request is sound, but the state it meets does not allow it."""

    status = 409
    code = "conflict"


class DuplicateRequestId(Conflict):
    """The request_id is taken in this type."""

    code = "duplicate_request_id"


class DuplicateCallback(Conflict):
    """The callback is taken in this type."""

    code = "duplicate_callback"


class ImpossibleMove(Conflict):
    """The state machine has no such arrow (see models.MOVES)."""

    code = "impossible_move"


class StaleFence(Conflict):
    """The update speaks of an earlier grant than the job's newest."""

    code = "stale_fence"


class NotWaiting(Conflict):
    """Only queued jobs have neighbours to be put before or after."""

    code = "not_waiting"


class NoRoom(Conflict):
    """No whole number within ±(2^53−1) is left there, or too many jobs would have to make room."""

    code = "priority_exhausted"


class TooLarge(BrokerError):
    """The body is larger than the facade reads."""

    status = 413
    code = "body_too_large"


class Internal(BrokerError):
    """A fault of ours; the log has the details, the client does not."""

    code = "internal_error"


class Unavailable(BrokerError):
    """Redis did not answer, or answered that it cannot serve now; ask again."""

    status = 503
    code = "redis_unavailable"


def _tree(root: type[BrokerError]) -> list[type[BrokerError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def by_word() -> dict[str, type[BrokerError]]:
    """Word a script may answer with → class to raise, over the whole tree."""
    return {cls.code.upper(): cls for cls in _tree(BrokerError)}
