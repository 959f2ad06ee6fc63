"""The audit log when processes die: no change without its line, no line without its change."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import httpx
import orjson

from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.api_client import SEED
from tests.making import submit
from tests.processes import Children, until

LOG = Keys("vm").of("audit")
ENOUGH = 200
"""Submits that are carried out before an API process is killed."""


async def test_kill_9_leaves_no_change_without_its_line(spawn: Children, store: Server) -> None:
    """However an API process ends amid submits and withdrawals, lines and changes are as many."""
    api = spawn.api(store.url)
    await asyncio.to_thread(api.ready)

    async def load(http: httpx.AsyncClient, number: int) -> None:
        for turn in range(10_000):
            name = f"{number}-{turn}"
            body = {**SEED, "request_id": name, "callback": f"http://127.0.0.1:9/{name}"}
            await http.post("/v1/vm", json=body)
            if turn % 2:
                await http.delete(f"/v1/vm/{name}")

    client: Any = connect(store.url)
    async with client, httpx.AsyncClient(base_url=api.url) as http:
        loads = [asyncio.create_task(load(http, number)) for number in range(16)]

        async def has_enough() -> bool:
            return int(await client.xlen(LOG)) > ENOUGH

        await until(has_enough, f"{ENOUGH} lines")
        api.send(signal.SIGKILL)
        await asyncio.to_thread(api.wait)
        outcomes = await asyncio.gather(*loads, return_exceptions=True)
        assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)
        changes = [
            (event["request_id"], event["status"])
            for _, event in await client.xrange(Keys("vm").of("events"))
        ]
        lines = [
            (line["subject"], "queued" if line["verb"] == "submit" else "deleted")
            for _, line in await client.xrange(LOG)
        ]
        assert lines == changes
        assert len(lines) > ENOUGH
        queued = await client.zcard(Keys("vm").of("status", "queued"))
        submits = sum(status == "queued" for _, status in lines)
        assert queued == submits - (len(lines) - submits)
        assert await audit(client, "vm") == []


async def test_the_log_is_followed_over_an_outage(spawn: Children, store: Server) -> None:
    """`log --follow` prints lines as they are written, waits while Redis is away, and goes on."""
    ACTOR.set(Actor("somebody"))
    client = connect(store.url)
    async with client:
        broker = Broker(client)
        await submit(broker, "before")
        log = spawn.start("log", "--follow", "--json", "--redis", store.url)

        async def shows(name: str) -> bool:
            return f'"subject":"{name}"' in log.output()

        async def waits() -> bool:
            return "waiting for it" in log.output()

        await until(lambda: shows("before"), "the line from before")
        await submit(broker, "meanwhile", type_="other")
        await until(lambda: shows("meanwhile"), "the line of another type")
        store.stop()
        await until(waits, "the outage to be told")
        store.start()
        await submit(broker, "afterwards")
        await until(lambda: shows("afterwards"), "the line from afterwards")
    log.send(signal.SIGINT)
    assert await asyncio.to_thread(log.wait) == 0
    lines = [orjson.loads(line) for line in log.output().splitlines() if line.startswith("{")]
    assert [line["subject"] for line in lines] == ["before", "meanwhile", "afterwards"]
