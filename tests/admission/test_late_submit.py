"""A job that is submitted while a pass is under way."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.admission.granter import Granter
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, publish, shape, submit


async def test_a_job_that_joins_its_shape_during_a_pass_is_granted_by_the_next(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a submit wakes nobody, as its shape has a head: the granter has to look once more."""
    wanted, grant_many = shape({"VCPU": 1}), broker.grant_many

    async def commit(type_: str, *args: Any) -> Any:
        if (await broker.counts(type_))[Status.QUEUED] == 1:
            monkeypatch.undo()
            await submit(broker, "late", shape=wanted)
        return await grant_many(type_, *args)

    await publish(broker, VCPU=4)
    await submit(broker, "early", shape=wanted)
    monkeypatch.setattr(broker, "grant_many", commit)
    assert await Granter(broker, TYPE).run_once() == 2


async def test_a_job_that_joins_the_emptied_queue_wakes_the_granter(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes too late for a granter that saw that nothing waits, and is told of to the next."""
    wanted, has_waiting = shape({"VCPU": 1}), broker.has_waiting

    async def look(type_: str) -> bool:
        answer = await has_waiting(type_)
        await submit(broker, "late", shape=wanted)
        return answer

    await publish(broker, VCPU=4)
    await submit(broker, "early", shape=wanted)
    monkeypatch.setattr(broker, "has_waiting", look)
    assert await Granter(broker, TYPE).run_once() == 1
    assert await broker.has_marker(TYPE, "grant")
