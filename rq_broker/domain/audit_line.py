"""The audit log's lines, each of one change, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERBS = {
    *("submit", "transition", "reorder", "set_expected", "withdraw"),
    *("set_policy", "drop_type", "acknowledge_losses", "set_host", "drop_host", "forget_source"),
    *(
        "reset",
        "send_test",
        "set_keys",
        "encrypt_keys",
        "create_token",
        "rotate_token",
        "revoke_token",
    ),
    *("create_session", "end_session"),
    *("repair_job", "repair_array", "repair_type", "repair_keys"),
}
"""What lines tell of, each by the name of the script that makes the change and writes the line."""
JOB_VERBS = frozenset(
    {"submit", "transition", "reorder", "set_expected", "withdraw", "repair_job", "repair_array"}
)
"""Those of a job: the subject of their lines is its request_id."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One change by somebody who is not the broker itself."""

    id: str
    """Names the line in its log: the time in ms, `-`, and a number."""
    time: int
    """When the change was made, by Redis's clock; µs since 1970."""
    who: str
    """Name of the identity that made it."""
    address: str
    """Address that the request came from; empty where there is none, as on a command line."""
    verb: str
    subject: str
    """What was changed: the request_id of a job, behind its owner and `/` if names are per owner;
    the name of a host, …"""
    before: Mapping[str, Any] | None
    """What was changed, as it was; None for nothing."""
    after: Mapping[str, Any] | None
    """What was changed, as it is since; None for nothing."""
    http_request_id: str
    """`X-Request-ID` of the request; empty without one."""


@dataclass(frozen=True, slots=True)
class WantedLines:
    """Which lines are wanted; an empty field is no condition."""

    who: str = ""
    verb: str = ""
    request_id: str = ""
    """Those of the job of this name."""
    http_request_id: str = ""

    def include(self, line: AuditLine) -> bool:
        """Tell whether a line is wanted."""
        return (
            (not self.who or line.who == self.who)
            and (not self.verb or line.verb == self.verb)
            and (not self.request_id or (self._is_of_the_job(line)))
            and (not self.http_request_id or line.http_request_id == self.http_request_id)
        )

    def _is_of_the_job(self, line: AuditLine) -> bool:
        return line.verb in JOB_VERBS and line.subject.rpartition("/")[2] == self.request_id
