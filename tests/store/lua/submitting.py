"""Submits several jobs in one call, for the tests that watch every script."""

from __future__ import annotations

from rq_broker.domain.jobs import Job
from rq_broker.domain.terms import Terms
from rq_broker.store.broker import Broker
from tests.making import TYPE, submission, submit


async def submit_several(broker: Broker, type_: str = TYPE) -> None:
    """Submit two jobs in one call that wait for a third one, as a caller that owns all three."""
    await submit(broker, "awaited", type_, owner_id="own")
    terms = Terms(give_up_after=60.0, after=("awaited",))
    jobs = [submission(name, owner_id="own", terms=terms) for name in ("second", "third")]
    stored = await broker.submit_many(type_, jobs, owners=["own"])
    assert [job.left for job in stored if isinstance(job, Job)] == [1, 1]
