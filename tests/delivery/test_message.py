"""The id and the body of a callback's message."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from rq_broker.delivery.message import message_body, message_id
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView, to_json


def _job(type_: str = "vm", fence: int = 7) -> Job:
    return Job(3, type_, "d", "y", "{}", "http://x/d", 1, Status.GRANTED, 0, 0, fence=fence)


def test_the_message_id_names_the_grant() -> None:
    """Type, job and fence make the id; whatever the type is called, it fits in a header."""
    assert message_id(_job()) == "vm_3_7"
    ids = {message_id(_job(type_, fence)) for type_ in ("vm", "a b", "虛") for fence in (7, 8)}
    assert len(ids) == 6
    assert all(id_.isascii() and " " not in id_ for id_ in ids)


def test_the_body_is_an_event_with_the_granted_job() -> None:
    """A receiver reads the event's name, its time, and the job as the API shows it."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    event = orjson.loads(message_body(_job(), now))
    assert set(event) == {"type", "timestamp", "data"}
    assert event["type"] == "job.granted"
    assert datetime.fromisoformat(event["timestamp"]) == now
    assert event["data"] == orjson.loads(to_json(JobView.of(_job())))
