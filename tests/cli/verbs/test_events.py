"""`rq-broker events`: a line for each event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rq_broker.cli.verbs.events import _line
from rq_broker.client import Event
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run

AT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (
            "job.granted",
            {"at": AT, "request_id": "r\n", "from": "queued", "to": "granted", "by": None},
            f'{AT} job.granted "r\\n" queued → granted',
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


def test_a_reader_goes_on_behind_an_event(run: Run, api: Served, type_: str) -> None:
    """The event_id of a line, given as --after, begins behind it; `id` is the job's."""
    api.run(making.submit(api.broker, "a", type_))
    api.run(making.submit(api.broker, "b", type_))
    gap, first, *rest = _events(run, type_, "0-1", 3)
    assert gap["event"] == "lost"  # nothing is kept from before the type
    assert [event["request_id"] for event in (first, *rest)] == ["a", "b"]
    assert first["id"] == api.run(making.listed(api.broker, "a", type_)).id
    assert _events(run, type_, first["event_id"], 1) == rest


def test_a_line_of_all_types_says_its_type() -> None:
    """Without a type each line names that of its event, and a gap too."""
    data = {"type": "gpu", "request_id": "d", "at": "2026-01-01T00:00:00Z"}
    assert " gpu job.deleted d" in _line(Event("1-0", "job.deleted", data), with_type=True)
    assert "lost; events of gpu before" in _line(Event("1-0", "lost", data), with_type=True)


def _events(run: Run, type_: str, after: str, limit: int) -> list[dict[str, Any]]:
    result = run("events", type_, "--after", after, "--limit", str(limit), "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]
