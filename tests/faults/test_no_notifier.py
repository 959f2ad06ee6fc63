"""Without a notifier jobs wait, and everything says why; the log tells what a notifier does."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import redis
from standins.receivers import receiver, responding

from rq_broker.store.embedded import Server
from tests.api_client import ApiClient
from tests.processes import Child, Children, until


def _age(store: Server, seconds: float) -> None:
    """Make the reports of notifiers, which are dead, so much older."""
    with redis.Redis(port=store.port, decode_responses=True) as client:
        for name, text in client.hgetall("rqb:notifiers").items():
            report = orjson.loads(text)
            report["reported"] -= 1000 * seconds
            client.hset("rqb:notifiers", name, orjson.dumps(report))


async def _told(api: Child, http: ApiClient, sentence: str) -> None:
    """Wait until the job, its explanation, readiness and metrics say it."""

    async def is_told() -> bool:
        job = await http.job("d")
        async with httpx.AsyncClient(base_url=api.url) as plain:
            explained = (await plain.get("/v1/vm/d/explain")).json()["data"]["reason"]
            ready = (await plain.get("/readyz")).json()["data"]["notifiers"]
            metrics = (await plain.get("/metrics")).text
        return (
            sentence in (job.get("Reason") or "")
            and explained is not None
            and sentence in explained["text"]
            and ready != "ok"
            and "rq_broker_notifiers 0.0" in metrics
        )

    await until(is_told, f"everything to say: {sentence}")


async def test_everything_says_that_no_notifier_serves(store: Server, spawn: Children) -> None:
    """Before the first notifier, and after the last was killed, the wait is explained by that."""
    api = spawn.api(store.url)
    await asyncio.to_thread(api.ready)
    http = ApiClient([api])
    async with receiver(responding(200)) as sink:
        await http.publish({"VCPU": 4})
        await http.submit(sink, "d", 1)
        await _told(api, http, "no notifier serves this type")
        notifier = spawn.notifier(f"redis://:@127.0.0.1:{store.port}/0", "--type", "vm")
        await http.until("running", "d")

        async def tells() -> bool:
            return "type vm: 1 granted" in notifier.output()

        await until(tells, "the line of the grant, which comes once a second")
        await asyncio.to_thread(notifier.kill)
        await http.ask("DELETE", "/v1/vm/d")
        await http.submit(sink, "d", 1)
        _age(store, 30)
        await _told(api, http, "no notifier has served this type for ")
    await http.aclose()
    log = notifier.output()
    assert log.count("notifier of rq-broker ") == 1
    assert "types vm; callbacks to " in log
