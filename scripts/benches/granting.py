"""The granter: grants a second by one process and by two, and a pass that grants nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import orjson

from benches import kit
from benches.kit import Figure, Size
from rq_broker.admission.granter import Granter
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Submission
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys

HOSTS = 1000
SHAPES = 100
DESTINATION = "http://127.0.0.1:9999"
"""Where the callbacks of all jobs go."""
_FIRST_SECONDS = 30.0
_QUIET_SECONDS = 2.0


def shaped(number: int) -> Submission:
    """Build a submission of one of 100 shapes: 1 to 10 VCPU, 1 to 10 GiB."""
    shape = random.Random(number).randrange(SHAPES)
    instance = {"VCPU": shape % 10 + 1, "Memory": 1024 * (shape // 10 + 1)}
    return submission(kit.body(number, data={"instances": [instance]}))


# Grants


def grants(size: Size) -> list[Figure]:
    """Grants a second until 1,000 hosts are full, by one process and by two."""
    waiting = size.of(50_000, 20_000)
    capacity = {"VCPU": 192 * waiting // 50_000, "Memory": 1 << 20}  # for most of them
    oversold: list[int] = []
    with TemporaryDirectory() as folder:
        with kit.store() as server:

            async def prepare(broker: Broker) -> None:
                await broker.set_policy(kit.TYPE, {"paused": True, "concurrency": 10_000})
                hosts = [Host(f"host{number}", capacity) for number in range(HOSTS)]
                await kit.fan(range(HOSTS), 100, lambda n: broker.set_host(kit.TYPE, hosts[n]))

            kit.run(server.url, prepare)
            kit.fill(server, waiting, shaped)
            frozen = kit.freeze(server, Path(folder) / "waiting.rdb")

        def granting(processes: int) -> float:
            with kit.store(frozen=frozen) as server:
                rate = _grants(server, processes)
                oversold.append(_oversold(server))
                return rate

        ones, twos = kit.turns(3, lambda: granting(1), lambda: granting(2))
    one = median(ones)
    return [
        kit.bounded(f"grants: one process, {waiting:,} waiting", one, "/s", least=20_000),
        kit.rated(
            "grants: two processes, one",
            kit.against(twos, ones, "/s"),
            kit.ratios(twos, ones),
            least=1.0,
        ),
        kit.bounded(f"grants: units oversold, {len(oversold)} runs", sum(oversold), "", most=0),
    ]


def _grants(server: Server, processes: int) -> float:
    """Resume the paused type with granters waiting; returns grants a second until the last one."""
    granted = Keys(kit.TYPE).of("status", "granted")
    with ExitStack() as stack:
        client = stack.enter_context(kit.plain(server))
        for _ in range(processes):
            stack.enter_context(kit.process(*kit.role("granter", server.url)))
        kit.until_listening(server, processes)
        started = last = time.perf_counter()
        kit.run(server.url, lambda broker: broker.set_policy(kit.TYPE, {"paused": False}))
        count = 0
        while time.perf_counter() - last < (_QUIET_SECONDS if count else _FIRST_SECONDS):
            time.sleep(0.02)
            kit.drop_callbacks(client, DESTINATION)
            if (now := client.zcard(granted)) != count:
                count, last = now, time.perf_counter()
        if not count:
            raise TimeoutError("nothing was granted")
    return count / (last - started)


def _oversold(server: Server) -> int:
    """Add up the resources of all granted jobs; returns the units beyond the hosts' capacity."""

    async def work(broker: Broker) -> int:
        granted: Counter[tuple[str, str]] = Counter()
        after = None
        while True:
            page = await broker.page(kit.TYPE, status="granted", after=after)
            for job in page.jobs:
                for host, instance in zip(
                    job.hosts, orjson.loads(job.data)["instances"], strict=True
                ):
                    for resource, amount in instance.items():
                        granted[host, resource] += amount
            if page.next is None:
                break
            after = page.next
        hosts = {host.name: host for host in await broker.hosts(kit.TYPE)}
        return sum(
            max(0, amount - hosts[name].capacity[resource])
            for (name, resource), amount in granted.items()
        )

    return kit.run(server.url, work)


# A pass


def empty_pass(size: Size) -> list[Figure]:
    """A pass that grants nothing, 100 shapes: with few or many jobs waiting, and on more hosts."""
    deep, few = size.of(1_000_000, 100_000), SHAPES * 200  # more of each shape than a pass looks at
    hosts = 10 * HOSTS
    waiting = f"pass: in vain, {deep:,} waiting, {few:,}"
    return [
        _passes(size, waiting, (deep, HOSTS), (few, HOSTS), most=1.2),
        _passes(
            size, f"pass: in vain, {hosts:,} hosts, {HOSTS:,}", (few, hosts), (few, HOSTS), most=3
        ),
    ]


def _passes(
    size: Size, name: str, many: tuple[int, int], few: tuple[int, int], *, most: float
) -> Figure:
    """Compare passes of two types, each with so many jobs waiting and so many hosts."""
    rounds = size.of(60, 30)
    with kit.store() as larger, kit.store() as smaller:
        for server, (waiting, hosts) in ((larger, many), (smaller, few)):
            kit.fill(server, waiting, _too_large)
            kit.run(server.url, partial(_publish_nearly_full, hosts=hosts))

        async def both(broker: Broker) -> list[list[float]]:
            other = Broker(connect(larger.url))
            granters = Granter(other, kit.TYPE), Granter(broker, kit.TYPE)
            seconds = [[await _pass(granter) for granter in granters] for _ in range(rounds + 1)]
            await other.aclose()
            return [list(column) for column in zip(*seconds[1:], strict=True)]

        longer, shorter = kit.run(smaller.url, both)
    value = f"{median(longer) * 1e3:.1f} ms against {median(shorter) * 1e3:.1f}"
    return kit.rated(name, value, kit.ratios(longer, shorter), most=most)


def _too_large(number: int) -> Submission:
    """Build a submission no host can take: 7 VCPU, or a gang of more than 4 times 6."""
    shape = number % SHAPES
    amounts = {"VCPU": 7 - shape % 2, "Memory": 1024 + shape}
    count = 5 + shape // 20 if shape % 2 else 1
    return submission(kit.body(number, data={"instances": [amounts] * count}))


async def _publish_nearly_full(broker: Broker, hosts: int) -> None:
    """Publish hosts of which 4 have 6 VCPU left, and the others 0 to 5."""

    async def publish(number: int) -> None:
        used = {"VCPU": 10 if number < 4 else 11 + number % 6, "Memory": 1024 * (number % 32)}
        host = Host(f"host{number}", {"VCPU": 16, "Memory": 65536}, used)
        await broker.set_host(kit.TYPE, host)

    await kit.fan(range(hosts), 100, publish)


async def _pass(granter: Granter) -> float:
    started = time.perf_counter()
    granted = await granter.run_once()
    assert not granted, "this pass was to grant nothing"
    return time.perf_counter() - started
