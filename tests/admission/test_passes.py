"""How many passes a granter runs for jobs that come alone, and for crowds."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.admission import granter
from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import WindowedSnapshot, read_snapshot
from rq_broker.store.broker import Broker
from tests.making import TYPE, publish, shape, submit

ONE = shape({"VCPU": 1})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note in a list how many jobs of a shape each pass shows at most."""
    shown: list[int] = []

    async def noted(*args: Any, **named: Any) -> WindowedSnapshot:
        shown.append(named["heads"])
        return await read_snapshot(*args, **named)

    monkeypatch.setattr(granter, "read_snapshot", noted)
    return shown


async def test_a_pass_that_empties_the_queue_is_the_last(broker: Broker, passes: list[int]) -> None:
    """A job that comes alone costs one pass, and leaves no lock behind."""
    await publish(broker, VCPU=4)
    await submit(broker, "alone", shape=ONE)
    assert await Granter(broker, TYPE).run_once() == 1
    assert len(passes) == 1
    assert await broker.turn(TYPE, "another", "take", 1.0)


async def test_a_granter_that_granted_many_of_a_shape_sees_as_many_at_once(
    broker: Broker, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While jobs of one shape come in crowds, each crowd but the first is granted by one pass."""
    monkeypatch.setattr(granter, "HEADS", 2)
    await publish(broker, VCPU=20)
    process = Granter(broker, TYPE)
    for crowd, wanted in (("a", [2, 8]), ("b", [8])):
        passes.clear()
        for number in range(6):
            await submit(broker, f"{crowd}{number}", shape=ONE)
        assert await process.run_once() == 6
        assert passes == wanted
