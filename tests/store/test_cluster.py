"""The router of a cluster, without one; tests/faults has real clusters."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import RedisCluster

from rq_broker.store.cluster import SLOTS, Address, Cluster
from rq_broker.store.connection import connect

SLOT_MAP = [[0, 16383, ["127.0.0.1", 1]]]


class StubNode:
    """A node that answers all calls alike, in the turn of the loop in which they are made."""

    is_busy = False

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def call(self, *_: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(self._answer, Exception):
            future.set_exception(self._answer)
        else:
            future.set_result(self._answer)
        return future

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("first", [SLOT_MAP, exceptions.ConnectionError("away")])
async def test_nodes_that_answer_and_fail_together(
    monkeypatch: pytest.MonkeyPatch, first: object
) -> None:
    """The slot map of the one counts, and asyncio logs no error of the other as unheeded."""
    answers = {1: first, 2: exceptions.ConnectionError("away too"), 3: SLOT_MAP}
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3")
    assert isinstance(client, RedisCluster)
    cluster = Cluster(client, 1.0)
    nodes = {port: StubNode(answer) for port, answer in answers.items()}
    monkeypatch.setattr(cluster, "_node", lambda address: nodes[address.port])
    unheeded: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheeded.append(context))
    with suppress(exceptions.ConnectionError):  # of the first node, which the map names
        await cluster.each_primary("PING")
    assert cluster.addresses() == [("127.0.0.1", 1)]
    gc.collect()
    await asyncio.sleep(0)
    assert unheeded == []
    await client.aclose()


class SilentNode(StubNode):
    """A node that answers nothing; closed, it fails its calls."""

    def __init__(self) -> None:
        self._unanswered: list[asyncio.Future[Any]] = []

    def call(self, *_: Any) -> asyncio.Future[Any]:
        self._unanswered.append(asyncio.get_running_loop().create_future())
        return self._unanswered[-1]

    async def aclose(self) -> None:
        for future in self._unanswered:
            future.set_exception(exceptions.ConnectionError("closed"))


async def test_what_fails_by_the_close_looks_for_no_other_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that the close cuts off begins no reading of the slot map, nor does a later call."""
    client = connect("redis+cluster://127.0.0.1:1")
    assert isinstance(client, RedisCluster)
    cluster, address = Cluster(client, 1.0), Address("127.0.0.1", 1)
    monkeypatch.setattr(cluster, "_nodes", {address: SilentNode()})
    monkeypatch.setattr(cluster, "_primaries", [address] * SLOTS)
    cut_off = asyncio.ensure_future(cluster.call("GET", "d"))
    await asyncio.sleep(0)
    await cluster.aclose()
    for call in (cut_off, cluster.call("GET", "d")):
        with pytest.raises(exceptions.ConnectionError):
            await call
        assert asyncio.all_tasks() == {asyncio.current_task()}
    await client.aclose()
