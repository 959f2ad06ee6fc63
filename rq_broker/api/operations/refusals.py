"""The refusals that rows of the table share."""

from __future__ import annotations

from rq_broker.domain import errors

SERVER_REFUSALS = (
    errors.Malformed,
    errors.RequestTimeout,
    errors.UriTooLong,
    errors.HeadersTooLarge,
    errors.TooManyConnections,
    errors.HostNotAllowed,
    errors.WebSocketUnsupported,
)
"""What the server answers on any path, before a route sees the request."""
BROWSER_REFUSALS = (errors.ForeignOrigin, errors.UnsupportedMediaType)
"""What a browser may get for a call that changes state, before a route sees it."""
CHANGE_REFUSALS = (*BROWSER_REFUSALS, errors.ReadOnly)
"""What anybody may get for such a call."""
TYPE = (errors.Invalid, errors.Unavailable)
JOB = (*TYPE, errors.JobNotFound)
HOST = (*TYPE, errors.HostNotFound)
BODY = (errors.Unreadable, errors.TooLarge)
DUPLICATE = (errors.DuplicateRequestId, errors.DuplicateCallback, errors.IdempotencyKeyReused)
TERMS = (errors.UnknownDependency, errors.DependencyFailed, errors.OlderNotifiers)
MOVE = (errors.ImpossibleMove, errors.StaleFence, errors.NotWaiting, errors.NoRoom)
ADMIT = (
    errors.ExpectedTooLong,
    errors.TooManyKinds,
    errors.QueueFull,
    errors.TooManyTypes,
)
EXPECT = (errors.ExpectedTooLong, errors.Conflict)
SERVERS = (errors.InvalidServer, errors.DuplicateServer)
