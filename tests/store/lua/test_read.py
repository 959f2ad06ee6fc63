"""read.lua: one job."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE


async def test_a_missing_job_is_not_found(broker: Broker) -> None:
    """Every verb on a job raises JobNotFound when there is none."""
    for call in (
        broker.read(TYPE, "d"),
        broker.withdraw(TYPE, "d"),
        broker.transition(TYPE, "d", Status.DONE),
        broker.reorder(TYPE, "d", "priority", "1"),
        broker.reorder(TYPE, "d", "position", "front"),
    ):
        with pytest.raises(errors.JobNotFound):
            await call
