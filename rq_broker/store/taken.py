"""Says of a name that is taken which job has it, and until when."""

from __future__ import annotations

from collections.abc import Collection

from rq_broker.domain.errors import BrokerError
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import rfc3339
from rq_broker.store.keys import Keys, member
from rq_broker.store.runner import Runner

_ENDED = (Status.DONE, Status.ERROR)


async def say_until_when(
    runner: Runner, job: Job, name: str, owners: Collection[str] | None, refusal: BrokerError
) -> None:
    """Add to the sentence of a refusal which job has the name, and until when.

    Args:
        runner: Reads Redis.
        job: The job that has it.
        name: The job's name in the type.
        owners: Whose jobs the caller may name; of others it learns nothing. None: anybody's.
        refusal: The refusal.
    """
    if owners is not None and job.owner_id not in owners:
        return
    keys = Keys(job.type)
    if job.status in _ENDED:
        end = await runner.command("ZSCORE", keys.of("deadlines"), member(job.id, name))
        until = f"until {rfc3339(int(float(end) * 1000))}" if end else "without end"
        kept = f"is {job.status} and kept {until}, or until it is deleted"
    else:
        kept = f"is {job.status}: free again when it is deleted, or its retention after it ends"
    named = f" by job {job.request_id}"
    sentence = str(refusal).removesuffix(named)
    refusal.args = (f"{sentence}{named}, which {kept}",)
