"""Which role may call what: the rows of the table of roles that operations share.

Each row gives a role the scope of what it may call on; a role that a row leaves out is refused. The
operator has ALL and the admin too, except where a row says something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from rq_broker.domain.identity import Role


class Scope(StrEnum):
    """On what an identity may call an operation."""

    OWN = "own"
    """On what belongs to its owners; of a source on the hosts that it published itself."""
    REDACTED = "redacted"
    """On everything, but callbacks and data are left out of the answer."""
    TOTALS = "totals"
    """The answer has the sums of each aggregate only, and no name of a host."""
    ALL = "all"
    """On everything of its types."""


Access = Mapping[Role, Scope]


def _row(
    client: Scope | None = None,
    viewer: Scope | None = None,
    source: Scope | None = None,
    operator: Scope | None = Scope.ALL,
) -> Access:
    scopes = {
        Role.CLIENT: client,
        Role.VIEWER: viewer,
        Role.SOURCE: source,
        Role.OPERATOR: operator,
        Role.ADMIN: Scope.ALL,
    }
    return {role: scope for role, scope in scopes.items() if scope is not None}


PUBLIC: Access = {}
"""Needs no identity."""
SIGN_IN: Access = dict.fromkeys(Role, Scope.OWN)
"""Everybody, on a session of its own."""
CHANGE_JOBS = _row(client=Scope.OWN)
READ_JOBS = _row(client=Scope.OWN, viewer=Scope.REDACTED)
ASK = _row(client=Scope.OWN, viewer=Scope.ALL)
"""Why and when, and what-if. Of others a client sees sizes and counts."""
READ_TYPE = _row(client=Scope.OWN, viewer=Scope.ALL)
"""A client sees no other owner's limits."""
OPERATE = _row()
READ = _row(viewer=Scope.ALL)
LIST_HOSTS = _row(client=Scope.TOTALS, viewer=Scope.ALL, source=Scope.OWN)
READ_HOST = _row(viewer=Scope.ALL, source=Scope.OWN)
READ_LOG = _row(client=Scope.OWN)
"""A client sees what it did itself."""
PUBLISH = _row(source=Scope.OWN)
READ_DESTINATIONS = _row(client=Scope.OWN, viewer=Scope.ALL)
KEYS = _row(client=Scope.OWN)
"""The operator may not set those of `*`."""
ADMINISTER = _row(operator=None)
SURVEY = _row(viewer=Scope.ALL)
"""Health and metrics, which are of all types."""
READ_WHOLE_LOG = _row(client=Scope.OWN)
OF_THE_INSTALLATION = (ADMINISTER, SURVEY, READ_WHOLE_LOG)
"""Rows of what is of no type: with ALL only for an identity that is not limited to types."""
