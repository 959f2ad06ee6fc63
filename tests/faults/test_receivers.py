"""One gateway with several tenants: what one of them answers, or does not, harms no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from redis.asyncio import Redis
from standins.receivers import Receiver, receiver

from rq_broker.store.audit import audit
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.api_client import ApiClient
from tests.processes import Children, until

BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Failed\r\nContent-Length: 0\r\n\r\n"
TAKEN = b"HTTP/1.1 200 OK\nX : y\nContent-Length: 0\n\n"


@dataclass
class Gateway:
    """Answers by the first part of the path; it never answers a part that is not listed."""

    answers: dict[str, bytes]
    calls: Counter[str] = field(default_factory=Counter)
    here: Receiver = field(init=False)

    async def behave(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tenant = self.here.heads[-1].split("/")[1]
        self.calls[tenant] += 1
        if tenant in self.answers:
            writer.write(self.answers[tenant])
        else:
            await asyncio.sleep(60)


async def _submit(http: ApiClient, here: Receiver, tenant: str, count: int) -> list[str]:
    names = [f"{tenant}-{number}" for number in range(count)]
    for name in names:
        body = {
            "request_id": name,
            "owner_id": tenant,
            "data": {"instances": [{"VCPU": 1}]},
            "callback": here.url(path=f"/{tenant}/{name}"),
        }
        assert (await http.ask("POST", "/v1/vm", body)).status_code == 201
    return names


async def test_tenants_of_a_gateway_do_not_harm_each_other(store: Server, spawn: Children) -> None:
    """One asks for 600 s, one fails, one hangs: a fourth is called, and no job ends in error."""
    api = spawn.api(store.url)
    await asyncio.to_thread(api.ready)
    notifier = spawn.notifier(store.url)
    http = ApiClient([api])
    gateway = Gateway({"busy": BUSY, "failing": FAILED, "good": TAKEN})
    async with receiver(gateway.behave) as here:
        gateway.here = here
        await http.publish({"h1": 1000})
        busy = await _submit(http, here, "busy", 30)
        await _submit(http, here, "failing", 8)
        await _submit(http, here, "hanging", 40)
        good = await _submit(http, here, "good", 10)
        await http.until("running", *good)

        async def is_told() -> bool:
            jobs = [await http.job(name) for name in busy]
            return all(
                "destination asked to wait until" in (job.get("Reason") or "")
                and job["Status"] == "queued"
                for job in jobs
            )

        await until(is_told, "the busy tenant's jobs to wait")
        assert await http.count("error") == 0
        listed = (await http.ask("GET", "/types/vm/destinations")).json()["data"]["destinations"]
        asked = {row["owner"]: row["asked_seconds"] for row in listed}
        assert 500 < asked["busy"] <= 600
        assert asked["good"] == 0
        assert gateway.calls["busy"] <= 32
        gateway.answers["busy"] = TAKEN
        reset = {"destination": listed[0]["destination"], "owner": "busy"}
        assert (await http.ask("POST", "/types/vm/destinations/reset", reset)).is_success
        await http.until("running", *busy)
    await http.aclose()
    client = connect(store.url)
    assert isinstance(client, Redis)
    assert await audit(client, "vm") == []
    await client.aclose()
    assert "(owner 'busy'): it asked to wait for 600 s" in notifier.output()
    assert "(owner 'failing') fail: http_500" in notifier.output()
