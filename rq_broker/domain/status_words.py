"""How a sentence tells the status of a job."""

from __future__ import annotations

from rq_broker.domain.jobs import BESIDE, Status


def in_words(status: str) -> str:
    """Return what a job with a status is: `running`, `in error`.

    >>> f"the job is {in_words('error')}"
    'the job is in error'
    """
    if status == BESIDE:
        return Status.QUEUED.value
    return "in error" if status == Status.ERROR else str(status)
