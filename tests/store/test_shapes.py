"""The shapes of waiting jobs: read in parts, and parsed once."""

from __future__ import annotations

import pytest

from rq_broker.store import shapes as module
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, shape, submit


def _reads(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the shapes that each command reads."""
    command, reads = broker.runner.command, list[int]()

    async def counted(*words: str) -> object:
        if words[:2] == ("HMGET", Keys(TYPE).of("shapes")):
            reads.append(len(words) - 2)
        return await command(*words)

    monkeypatch.setattr(broker.runner, "command", counted)
    return reads


async def test_a_shape_is_read_once(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later reads of the same queue, and of its line, read only shapes that are new."""
    reads = _reads(broker, monkeypatch)
    for owner in "ab":
        await submit(broker, owner, owner_id=owner, shape=shape(owner=owner))
    assert len((await broker.heads(TYPE, 0, 10, 10)).waiting) == 2
    assert [*(await broker.line(TYPE)).shapes.values()] == [shape(owner="a"), shape(owner="b")]
    assert reads == [2]
    await submit(broker, "c", owner_id="c", shape=shape(owner="c"))
    owners = [waiting.shape.owner for waiting in (await broker.heads(TYPE, 0, 10, 10)).waiting]
    assert (sorted(owners), reads) == (["a", "b", "c"], [2, 1])


async def test_long_shapes_are_read_a_few_at_a_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command reads READ_BYTES of text at most, unless one shape alone has more."""
    reads = _reads(broker, monkeypatch)
    sizes = list[int]()
    for count in (1, 1, 1, 50, 1):
        wanted = shape(*[{"VCPU": 1}] * count, owner=f"o{len(sizes)}")
        sizes.append(len(wanted.canonical()))
        await submit(broker, f"d{len(sizes)}", owner_id=wanted.owner, shape=wanted)
    monkeypatch.setattr(module, "READ_BYTES", sum(sizes[:2]))
    assert len((await broker.heads(TYPE, 0, 10, 10)).waiting) == 5
    assert sum(reads) == 5
    assert max(reads) <= 2


async def test_a_shape_that_no_longer_waits_is_left_out(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shape whose last job leaves between two reads is not part of the answer."""
    await submit(broker)
    command = broker.runner.command

    async def gone(*words: str) -> object:
        if words[:2] == ("HMGET", Keys(TYPE).of("shapes")):
            await broker.withdraw(TYPE, "d")
        return await command(*words)

    monkeypatch.setattr(broker.runner, "command", gone)
    assert (await broker.heads(TYPE, 0, 10, 10)).waiting == ()
