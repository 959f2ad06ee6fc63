"""One tenant's fat demands and long plans: the other types of the process are served meanwhile."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.api_client import SEED
from tests.making import publish, shape, submission
from tests.processes import Child, children, until
from tests.receivers_app import listening

FAT, SMALL = "fat", "small"
GANGS, HOSTS, KINDS = 400, 1000, 60
"""A pass over so many takes the planner seconds."""
SMALL_JOBS = 10


def _gang(number: int) -> Shape:
    """Need many different instances, each of which some host has room for, but no set of hosts."""
    instances = tuple(
        (("MEM", 40 + (number * 7 + kind * 13) % 60), ("VCPU", 20 + (number + kind) % 44))
        for kind in range(KINDS)
    )
    return Shape(Demand(instances), f"o{number}", "http://127.0.0.1:9")


async def _make_fat(broker: Broker) -> None:
    """Fill a type so that each pass over it takes long; only a job of `LAST` fits."""
    hosts = [
        Host(f"h{number:04}", {"VCPU": 64, "MEM": 30 + number % 30}) for number in range(HOSTS)
    ]
    await asyncio.gather(*(broker.set_host(FAT, host) for host in hosts))
    for number in range(GANGS):
        wanted = _gang(number)
        await broker.submit(FAT, submission(f"g{number}", owner_id=wanted.owner, shape=wanted,
                                            callback=f"http://127.0.0.1:9/{number}"))  # fmt: skip


@pytest.fixture
async def fat(real_client: Redis) -> Broker:
    """A broker on the server with a type whose passes take long, and a small one with a host."""
    broker = Broker(real_client)
    await broker.set_policy(FAT, {"paused": True})
    await _make_fat(broker)
    await publish(broker, "h1", SMALL, VCPU=64)
    return broker


async def test_callbacks_of_other_types_do_not_wait_for_a_long_plan(
    fat: Broker, redis_server: Server, real_client: Redis, tmp_path: Path
) -> None:
    """Jobs of another type are granted and called one by one while one pass of a type goes on."""
    arrived = list[str]()

    async def handle(_: str, job: dict[str, Any]) -> int:
        arrived.append(job["RequestID"])
        return 200

    async with listening(handle) as here:
        # The last job of the fat type fits, and is granted once its pass has ended.
        wanted = shape({"VCPU": 1}, owner="last", destination=here.url(path=""))
        await fat.submit(FAT, submission("last", owner_id="last", shape=wanted,
                                         callback=here.url(path="/last")))  # fmt: skip
        with children(tmp_path) as spawn:
            spawn.notifier(redis_server.url)
            await fat.set_policy(FAT, {"paused": False})
            await _until_planning(real_client)
            for number in range(SMALL_JOBS):
                name = f"s{number}"
                wanted = shape({"VCPU": 1}, destination=here.url(path=""))
                await fat.submit(
                    SMALL, submission(name, shape=wanted, callback=here.url(path=f"/{name}"))
                )
                await until(partial(_is_in, name, arrived), f"the callback of {name}")
            await until(partial(_is_in, "last", arrived), "the pass of the fat type", 120)
    assert arrived == [*(f"s{number}" for number in range(SMALL_JOBS)), "last"]
    assert await audit(real_client, FAT) == []


async def _until_planning(client: Redis) -> None:
    """Wait until a notifier has the lock on planning the fat type."""

    async def has_lock() -> bool:
        return bool(await client.exists(Keys(FAT).of("turn", "plan")))

    await until(has_lock, "a plan of the fat type")


async def _is_in(name: str, names: list[str]) -> bool:
    return name in names


async def test_an_explanation_of_another_type_does_not_wait_for_long_ones(
    fat: Broker, redis_server: Server, tmp_path: Path
) -> None:
    """A small type is explained before the long explanations and what-ifs asked earlier, all but
    one that was about to be answered."""
    await fat.submit(SMALL, submission("d", shape=shape({"VCPU": 100})))
    with children(tmp_path) as spawn:
        api = spawn.api(redis_server.url)
        await asyncio.to_thread(api.ready)
        async with httpx.AsyncClient(base_url=api.url, timeout=120) as client:
            order = list[str]()

            async def ask(method: str, path: str, **body: Any) -> int:
                answer = await client.request(method, path, **body)
                if answer.status_code == 200:
                    order.append(path.split("/")[2])
                return answer.status_code

            imagined = {"data": {"instances": [dict(i) for i in _gang(1).demand.instances]}}
            long = [
                *(ask("GET", f"/v1/{FAT}/g{number}/explain") for number in range(2)),
                *(ask("POST", f"/types/{FAT}/what-if", json=imagined) for _ in range(10)),
            ]
            asked = [asyncio.create_task(question) for question in long]
            await until(lambda: _refused(asked), "a what-if that is refused")
            answered = len(order)
            assert await ask("GET", f"/v1/{SMALL}/d/explain") == 200
            statuses = await asyncio.gather(*asked)
    assert order.index(SMALL) - answered <= 1
    assert order[-1] == FAT
    assert statuses[:2] == [200] * 2
    assert set(statuses[2:]) == {200, 429}


async def _refused(asked: list[asyncio.Task[int]]) -> bool:
    return any(task.done() and task.result() == 429 for task in asked)


@pytest.mark.usefixtures("real_client")
async def test_large_demands_take_little_memory(redis_server: Server, tmp_path: Path) -> None:
    """An API that took, listed and explained jobs of 1,000 instances × 75 resources stays small."""
    instance = {f"r{number:02}": 1 for number in range(75)}
    with children(tmp_path) as spawn:
        api = spawn.api(redis_server.url)
        await asyncio.to_thread(api.ready)
        async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
            before = _peak(api)
            for number in range(25):
                body = {
                    **SEED,
                    "request_id": f"d{number}",
                    "callback": f"http://127.0.0.1:9/{number}",
                    "data": {"instances": [{**instance, "r00": number + 1}] * 1000},
                }
                answer = await client.post(f"/v1/{FAT}/", json=body)
                assert answer.status_code == 201, answer.text
            for number in range(3):
                answer = await client.get(f"/v1/{FAT}/d{number}/explain")
                assert answer.status_code == 200
            assert _peak(api) - before < 100 << 20


def _peak(child: Child) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match
    return int(match[1]) * 1024
