"""Says of a name that is taken which job has it, and until when."""

from __future__ import annotations

from collections.abc import Collection

from rq_broker.domain.errors import BrokerError
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.representation import told_time
from rq_broker.domain.status_words import in_words
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
    deleted = "when that job is deleted"
    when = f"{deleted}, or once the type's retention has passed after its end"
    if job.status in _ENDED:
        keys = Keys(job.type)
        end = await runner.command("ZSCORE", keys.of("deadlines"), member(job.id, name))
        when = f"at {told_time(int(float(end) * 1000))}, or {deleted}" if end else deleted
    named = f" by job {request_id_in(name)}"
    sentence = str(refusal).removesuffix(named)
    state = f"now {in_words(job.status)}; it is free again {when}"
    refusal.args = (f"{sentence}{named}, {state}",)
