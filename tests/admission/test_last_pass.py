"""Which pass of a granter is its last one."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.admission.granter import Granter
from rq_broker.store.broker import Broker
from tests.making import TYPE, publish, shape, submit


async def test_a_pass_that_leaves_nothing_to_grant_is_the_last(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One snapshot is read where all jobs fit, and another where one was passed."""
    snapshots_read, read = list[str](), broker.heads

    async def heads(type_: str, *args: Any, **options: Any) -> Any:
        snapshots_read.append(type_)
        return await read(type_, *args, **options)

    monkeypatch.setattr(broker, "heads", heads)
    await publish(broker, VCPU=4)
    for request_id in "ab":
        await submit(broker, request_id, shape=shape({"VCPU": 1}))
    granter = Granter(broker, TYPE)
    assert await granter.run_once() == 2
    assert len(snapshots_read) == 1
    await submit(broker, "wide", shape=shape({"VCPU": 3}))
    await submit(broker, "c", shape=shape({"VCPU": 1}))
    assert await granter.run_once() == 1
    assert len(snapshots_read) == 3
