"""Builds the message that a callback carries: its id and its JSON body."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from rq_broker.domain.deliveries import ClaimedTest
from rq_broker.domain.jobs import Job
from rq_broker.domain.representation import JobView, to_json


def message_id(job: Job) -> str:
    """Return the id of the message that tells of a job's newest grant."""
    return id_of_grant(job.type, job.incarnation, job.id, job.fence)


def id_of_grant(type_: str, incarnation: str, job_id: int, fence: int | None) -> str:
    """Return the id of a grant's message.

    Every attempt of one grant carries the same id, so that a receiver recognises repetitions; the
    next grant of the same job has another. The incarnation keeps it from coming again after Redis
    lost what it had; a job granted by an earlier version has none.
    """
    life = f"_{incarnation}" if incarnation else ""
    return f"{_quoted(type_)}{life}_{job_id}_{fence}"


@lru_cache(1024)
def _quoted(type_: str) -> str:
    """Return a type as part of an id; to quote it costs more than the rest of the id."""
    return quote(type_, safe="")


def message_body(job: Job, now: datetime) -> bytes:
    """Return the JSON of a `job.granted` event; `now` must be in UTC."""
    return _body("job.granted", now, JobView.of(job))


def receiver_test_id(type_: str, test: ClaimedTest) -> str:
    """Return the id of a test's message."""
    return f"{_quoted(type_)}_test_{quote(test.test, safe='')}"


def receiver_test_body(type_: str, test: ClaimedTest, now: datetime) -> bytes:
    """Return the JSON of a `receiver.test` event, which is about no job; `now` must be in UTC."""
    return _body("receiver.test", now, {"Test": test.test, "Type": type_, "OwnerID": test.owner})


def _body(kind: str, now: datetime, data: object) -> bytes:
    timestamp = now.isoformat().replace("+00:00", "Z")
    return to_json({"type": kind, "timestamp": timestamp, "data": data})
