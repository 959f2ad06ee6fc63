"""Many jobs in one call: the rate of submits, and what a bulk withdraw costs others."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

import hiredis
import httpx
import orjson
import uvloop

from benches import kit, peers, raw
from benches.kit import Figure, Size
from rq_broker.api.submit import submission
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import Keys
from rq_broker.store.scripts import SCRIPTS, Script

_SUBMITS = ("submit", "submit_many")
_BESIDE_SECONDS = 0.01
"""Between two submits beside a bulk withdraw."""


def bulk_submit(size: Size) -> list[Figure]:
    """Submits by 100 over HTTP and by Broker.submit_many, against addBulk and bare EVALSHA."""
    count, port, folder = size.of(40_000, 10_000), free_port(), peers.node_peers()
    first = itertools.count(0, count)
    with ExitStack() as stack:
        server, other = stack.enter_context(kit.store()), stack.enter_context(kit.store())
        stack.enter_context(kit.process(*kit.role("api", server.url, port)))
        kit.until_serves(port)
        kit.run(server.url, lambda broker: broker.set_policy(kit.TYPE, {"queue_limits": {}}))

        def over_http() -> float:
            return _post_all(port, _chunks(next(first), count))

        def from_python() -> float:
            return float(kit.measured(*kit.role("submit_many", server.url, next(first), count)))

        def bare() -> float:
            return _evaluate_all(server, _chunks(next(first), count))

        def bull() -> float:
            if isinstance(folder, str):
                return 0.0
            return float(
                peers.node(folder, "add.mjs", count, kit.BATCHES, other.port, kit.BATCH)[0]
            )

        kit.turns(1, over_http, from_python, bare)  # a warm-up
        http, python, evalsha, bulk = kit.turns(size.pairs, over_http, from_python, bare, bull)
        _check(server, count * (size.pairs + 1) * 3)
    figures = []
    for name, rates, least in ((f"POST of {kit.BATCH}", http, 0.0), ("submit_many", python, 2.0)):
        against_bull = Figure(f"bulk-submit: {name}, addBulk", str(folder))
        if all(bulk):
            against_bull = kit.compared(f"bulk-submit: {name}, addBulk", rates, bulk, least=least)
        limit = f"bulk-submit: {name}, pipelined EVALSHA"
        figures += [against_bull, kit.compared(limit, rates, evalsha)]
    return [*figures, kit.bounded("bulk-submit: submit_many", median(python), "/s", least=60_000)]


def _chunks(first: int, count: int) -> list[list[dict[str, Any]]]:
    """Return the bodies of submits, as many as one call takes here."""
    bodies = [kit.body(number) for number in range(first, first + count)]
    return [bodies[start : start + kit.BATCH] for start in range(0, count, kit.BATCH)]


def _post_all(port: int, chunks: Sequence[list[dict[str, Any]]]) -> float:
    """Post each chunk, some at a time; returns jobs a second."""
    path = f"/types/{kit.TYPE}/jobs"
    requests = [raw.post(path, orjson.dumps({"jobs": chunk})) for chunk in chunks]
    seconds = uvloop.run(raw.send(port, iter(requests), kit.BATCHES))
    return sum(map(len, chunks)) / seconds


def _check(server: Server, count: int) -> None:
    """Raise if not all jobs were taken."""
    with kit.plain(server) as client:
        waiting = client.zcard(Keys(kit.TYPE).of("status", "queued"))
    if waiting != count:
        raise RuntimeError(f"{waiting} of {count} jobs wait")


def _evaluate_all(server: Server, chunks: Sequence[list[dict[str, Any]]]) -> float:
    """Send the EVALSHAs of submits, packed before, chunk by chunk; returns jobs a second.

    Nothing is done with the replies but counting them, so what takes time is Redis. Each chunk is
    sent at once: the scripts refuse the time that they were given when it is old.
    """
    seconds, replies = 0.0, hiredis.Reader()
    with (
        kit.plain(server) as client,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        for name in _SUBMITS:
            client.script_load(SCRIPTS[name].source)
        for chunk in chunks:
            calls = kit.run(server.url, partial(_calls, bodies=chunk))
            packed = b"".join(hiredis.pack_command(tuple(call)) for call in calls)
            started, received = time.perf_counter(), 0
            connection.sendall(packed)
            while received < len(calls):
                received += _count_replies(replies, connection.recv(1 << 16))
            seconds += time.perf_counter() - started
    return sum(map(len, chunks)) / seconds


def _count_replies(replies: hiredis.Reader, data: bytes) -> int:
    """Count the replies that this data ends; raises one that is an error."""
    replies.feed(data)
    ended = list(iter(replies.gets, False))
    for reply in ended:
        if isinstance(reply, Exception):
            raise reply
    return len(ended)


async def _calls(broker: Broker, bodies: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the EVALSHAs of these submits, as the broker would send them."""
    calls: list[list[Any]] = []
    evaluate = broker.runner.evaluate

    async def record(script: Script, type_: str, values: Sequence[Any]) -> Any:
        if script.name not in _SUBMITS:
            return await evaluate(script, type_, values)
        calls.append(["EVALSHA", script.sha, 1, Keys(type_).base, *values])
        raise errors.Unavailable("recorded, not sent")

    setattr(broker.runner, "evaluate", record)  # noqa: B010 - mypy refuses to assign a method
    await broker.submit_many(kit.TYPE, [submission(body) for body in bodies])
    return calls


def bulk_withdraw(size: Size) -> list[Figure]:
    """One client withdraws all jobs by filter; submits of another beside it, against alone."""
    count, port = size.of(100_000, 20_000), free_port()
    with kit.store() as server, kit.process(*kit.role("api", server.url, port)):
        kit.until_serves(port)
        kit.fill(server, count)
        alone, beside, seconds, calls = uvloop.run(_withdraw_all(port, count))
    rate = f"{count / seconds:,.0f} /s in {calls} calls"
    return [
        Figure(f"bulk-withdraw: {count:,} jobs", rate),
        Figure("bulk-withdraw: a submit alone", kit.spread(alone)),
        Figure("bulk-withdraw: a submit beside it", kit.spread(beside)),
    ]


async def _withdraw_all(port: int, count: int) -> tuple[list[float], list[float], float, int]:
    """Withdraw all jobs; returns the times of submits before and meanwhile, the time, the calls."""
    numbers = itertools.count(90_000_000)
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(timeout=60.0) as one, httpx.AsyncClient(timeout=60.0) as other:

        async def submit_until(ended: asyncio.Event) -> list[float]:
            times = []
            while not ended.is_set():
                body = kit.body(next(numbers), owner_id="another")
                started = time.perf_counter()
                answer = await other.post(f"{base}/v1/{kit.TYPE}", json=body)
                times.append(time.perf_counter() - started)
                answer.raise_for_status()
                await asyncio.sleep(_BESIDE_SECONDS)
            return times

        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(3.0, ended.set)
        alone = await submit_until(ended)
        ended = asyncio.Event()
        submits = asyncio.create_task(submit_until(ended))
        started, withdrawn, calls, cursor = time.perf_counter(), 0, 0, None
        action = {"action": "withdraw", "filter": {"owner_id": kit.OWNER}}
        while withdrawn < count:
            answer = await one.post(
                f"{base}/types/{kit.TYPE}/actions", json={**action, "cursor": cursor}
            )
            envelope = answer.raise_for_status().json()
            withdrawn, calls = withdrawn + envelope["data"]["changed"], calls + 1
            cursor = envelope["next"]
            if cursor is None:
                break
        seconds = time.perf_counter() - started
        ended.set()
        beside = await submits
    if withdrawn != count:
        raise RuntimeError(f"{withdrawn} of {count} jobs were withdrawn")
    return alone, beside, seconds, calls
