"""`rq-broker events`: a line for each event."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.cli.verbs.events import _line
from rq_broker.client import Event

AT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (
            "job.granted",
            {"at": AT, "request_id": "r\n", "from": "queued", "to": "granted", "by": None},
            f"{AT} job.granted r\\n queued → granted",
        ),
        (
            "job.queued",
            {"at": AT, "request_id": "r", "from": None, "to": "queued", "by": "ci"},
            f"{AT} job.queued r queued by ci",
        ),
        ("type.paused", {"at": AT, "by": "op"}, f"{AT} type.paused by op"),
        ("lost", {"reason": "slow"}, "lost: slow; events before the next one are missing"),
        ("lost", {}, "lost; events before the next one are missing"),
    ],
)
def test_the_line_of_an_event(kind: str, data: dict[str, Any], line: str) -> None:
    """It says when, what, which job, from and to which status, and who did it; or what is lost."""
    assert _line(Event("1-1", kind, data)) == line
