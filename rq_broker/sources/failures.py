"""Why a source has no snapshot, drawn as one tree.

    SourceFailed        the last snapshot stays, marked stale
    ├── Misconfigured   misconfigured   a table, a file or a login is wrong: a person must act
    ├── Refused         refused         the service refuses the credentials
    ├── Unreachable     unreachable     no connection, no address, no answer in time, 502 to 504
    └── Faulty          faulty          the answer does not fit the service's API
        └── Missing     missing         nothing is at a path that should exist

A source raises the class that fits best. Any other exception counts as SourceFailed, and is logged
with its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.domain.scrubbing import scrubbed


class SourceFailed(Exception):
    """The root; carries a sentence for people, and `cause` for programs and metrics.

    The sentence is often that of a library or a service, so credentials are taken out of it.
    """

    cause = "failed"

    def __str__(self) -> str:
        """Return the sentence without credentials."""
        return scrubbed(super().__str__())


class Misconfigured(SourceFailed):
    """The source cannot work as it is set up; a retry changes nothing."""

    cause = "misconfigured"


class Refused(SourceFailed):
    """The service rejects the credentials, or forbids what a source must read."""

    cause = "refused"


class Unreachable(SourceFailed):
    """There is no answer: no connection, no address for the name, or a timeout; or what stands
    before the service says so (502, 503, 504)."""

    cause = "unreachable"


class Faulty(SourceFailed):
    """The answer cannot be used: a 500, an incomplete body, or not the shape of the API."""

    cause = "faulty"


class Missing(Faulty):
    """The service answers 404."""

    cause = "missing"


STATUS_FAILURES: Mapping[int, type[SourceFailed]] = {
    401: Refused,
    403: Refused,
    404: Missing,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}
"""HTTP status of a service → failure. All others are Faulty."""
