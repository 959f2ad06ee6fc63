"""Many jobs in one call: the rate of submits, and what a bulk withdraw costs others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx
import orjson
import redis
import uvloop

from benches import kit
from benches.kit import Figure, Size
from rq_broker.api.bulk_bodies import MOST_JOBS
from rq_broker.api.submit import submission
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import free_port
from rq_broker.store.keys import Keys
from rq_broker.store.scripts import SCRIPTS, Script
from rq_broker.store.submits import PIPELINED

_BESIDE_SECONDS = 0.01
"""Between two submits beside a bulk withdraw."""


def bulk_submit(size: Size) -> list[Figure]:
    """Submits by 1,000 over HTTP, and by Broker.submit_many, against bare pipelined EVALSHA."""
    count, port = size.of(10_000, 5_000), free_port()
    first = itertools.count(0, count)
    with kit.store() as server, kit.process(*kit.role("api", server.url, port)):
        kit.until_serves(port)
        kit.run(server.url, lambda broker: broker.set_policy(kit.TYPE, {"queue_limits": {}}))

        def over_http() -> float:
            return uvloop.run(_post_all(port, _chunks(next(first), count)))

        def from_python() -> float:
            chunks = _chunks(next(first), count)
            return kit.run(server.url, lambda broker: _submit_all(broker, chunks))

        def bare() -> float:
            chunks, seconds = _chunks(next(first), count), 0.0
            with kit.plain(server) as client:
                client.script_load(SCRIPTS["submit"].source)
                for chunk in chunks:
                    calls = kit.run(server.url, partial(_calls, bodies=chunk))
                    seconds += _evaluate(client, calls)
            return count / seconds

        kit.turns(1, over_http, from_python, bare)  # a warm-up
        http, python, evalsha = kit.turns(size.pairs, over_http, from_python, bare)
    return [
        kit.rated(
            "bulk-submit: POST of 1,000, pipelined EVALSHA",
            kit.against(http, evalsha, "/s"),
            kit.ratios(http, evalsha),
        ),
        kit.rated(
            "bulk-submit: submit_many, pipelined EVALSHA",
            kit.against(python, evalsha, "/s"),
            kit.ratios(python, evalsha),
        ),
    ]


def _chunks(first: int, count: int) -> list[list[dict[str, Any]]]:
    """Return the bodies of submits, as many as one call takes at a time."""
    bodies = [kit.body(number) for number in range(first, first + count)]
    return [bodies[start : start + MOST_JOBS] for start in range(0, count, MOST_JOBS)]


async def _post_all(port: int, chunks: Sequence[list[dict[str, Any]]]) -> float:
    """Post each chunk; returns jobs a second."""
    bodies = [orjson.dumps({"jobs": chunk}) for chunk in chunks]
    url = f"http://127.0.0.1:{port}/types/{kit.TYPE}/jobs"
    async with httpx.AsyncClient(timeout=30.0) as client:
        started = time.perf_counter()
        for body in bodies:
            answer = await client.post(url, content=body)
            if orjson.loads(answer.content)["data"]["refused"]:
                raise RuntimeError(answer.text[:500])
        return sum(map(len, chunks)) / (time.perf_counter() - started)


async def _submit_all(broker: Broker, chunks: Sequence[list[dict[str, Any]]]) -> float:
    """Submit each chunk, with its bodies read before; returns jobs a second."""
    submissions = [[submission(body) for body in chunk] for chunk in chunks]
    started = time.perf_counter()
    for chunk in submissions:
        await broker.submit_many(kit.TYPE, chunk)
    return sum(map(len, chunks)) / (time.perf_counter() - started)


async def _calls(broker: Broker, bodies: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the EVALSHA of each submit, as the broker would send it."""
    calls: list[list[Any]] = []
    evaluate = broker.runner.evaluate

    async def record(script: Script, type_: str, values: Sequence[Any]) -> Any:
        if script.name != "submit":
            return await evaluate(script, type_, values)
        calls.append(["EVALSHA", script.sha, 1, Keys(type_).base, *values])
        raise errors.Unavailable("recorded, not sent")

    setattr(broker.runner, "evaluate", record)  # noqa: B010 - mypy refuses to assign a method
    await broker.submit_many(kit.TYPE, [submission(body) for body in bodies])
    return calls


def _evaluate(client: redis.Redis, calls: list[list[Any]]) -> float:
    """Send calls, as many in one pipeline as the broker sends; returns the seconds taken."""
    packed = [calls[start : start + PIPELINED] for start in range(0, len(calls), PIPELINED)]
    started = time.perf_counter()
    for some in packed:
        pipeline = client.pipeline(transaction=False)
        for call in some:
            pipeline.execute_command(*call)
        pipeline.execute()
    return time.perf_counter() - started


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
