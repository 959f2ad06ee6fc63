"""How a job and a time are written in JSON, in HTTP answers and in callbacks alike."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from rq_broker.domain.jobs import Job


def job_json(job: Job) -> dict[str, Any]:
    """Build the job's JSON object: the seed's eleven keys with their types, then ours."""
    return {
        "ID": job.id,
        "CreatedAt": rfc3339(job.created),
        "UpdatedAt": rfc3339(job.updated),
        "DeletedAt": None,
        "RequestID": job.request_id,
        "Type": job.type,
        "OwnerID": job.owner_id,
        "Data": job.data,
        "Callback": job.callback,
        "Priority": job.priority,
        "Status": job.status,
        "Position": job.position,
        "Hosts": job.hosts,
        "Fence": job.fence,
        "Attempts": job.attempts,
        "Error": job.error,
    }


def rfc3339(microseconds: int) -> str:
    """Render µs since 1970 as RFC 3339 in UTC."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_whole_second(seconds)}.{fraction:06d}Z"


@lru_cache(1024)
def _whole_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
