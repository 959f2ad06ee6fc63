"""Measure what a crowd of types costs: connections, idle Redis commands, latency, memory.

Every type has a host. First nothing happens, then jobs are submitted to types at random.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from contextlib import ExitStack
from statistics import median

from benches import kit
from benches.latency import Receiver

from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port

IN_FLIGHT = 100
"""Calls in flight while types are made."""
CALM_SECONDS = 3.0
"""Seconds of few commands after which the notifiers have finished their first checks."""
CALM_RATE = 1000.0
"""Commands a second that count as few."""
WARM_UP = 50


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--types", type=int, default=1000)
    parser.add_argument("--notifiers", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=500, help="submitted to types at random")
    parser.add_argument("--rate", type=float, default=50.0, help="submits a second")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of the idle measurement")
    parser.add_argument(
        "--waiting", action="store_true", help="in every type one job waits that does not fit"
    )
    return parser.parse_args()


def type_name(number: int) -> str:
    return f"crowd-{number:05d}"


async def make_types(broker: Broker, asked: argparse.Namespace) -> None:
    """Publish a host in each type, and submit a job that never fits where asked for."""
    host = Host("host1", {"VCPU": 1_000_000, "Memory": 1 << 40, "Disk": 1_000_000},
                aggregates=frozenset({"host1"}))  # fmt: skip

    async def make(number: int) -> None:
        await broker.set_host(type_name(number), host)
        if asked.waiting:
            body = kit.body(0, "http://127.0.0.1:9/never/", owner_id="big")
            data = {**kit.DATA, "instances": [{"VCPU": 2_000_000}]}
            await broker.submit(type_name(number), submission({**body, "data": data}))

    await kit.fan(range(asked.types), IN_FLIGHT, make)


def start(server: Server, notifiers: int, stack: ExitStack) -> list[int]:
    options = ("--redis", server.url, *kit.LOOPBACK_ONLY)
    pids = [
        stack.enter_context(kit.process(*kit.command("notifier", *options)))
        for _ in range(notifiers)
    ]
    kit.until_listening(server, notifiers)
    return pids


def commands(server: Server, seconds: float) -> float:
    """Return the Redis commands a second, those inside scripts included, without our own."""
    with kit.plain(server) as client:
        before, started = client.info("stats")["total_commands_processed"], time.perf_counter()
        time.sleep(seconds)
        after = client.info("stats")["total_commands_processed"]
        return float((after - before - 1) / (time.perf_counter() - started))


def until_calm(server: Server) -> float:
    """Wait until the first checks are over; returns the seconds that took."""
    started = time.perf_counter()
    while commands(server, CALM_SECONDS) > CALM_RATE:
        if time.perf_counter() - started > 120:
            raise TimeoutError("the notifiers do not become calm within 120 s")
    return time.perf_counter() - started - CALM_SECONDS


def connections(server: Server, notifiers: int) -> float:
    """Return how many connections to Redis each notifier has."""
    with kit.plain(server) as client:
        return (len(client.client_list()) - 1) / notifiers


async def latencies(broker: Broker, asked: argparse.Namespace, first: int) -> list[float]:
    """Submit jobs to types at random; returns seconds from each submit to its callback."""
    receiver, port, submitted = Receiver(), free_port(), dict[str, tuple[str, float]]()
    serving = await receiver.serve(port)
    times, chance = [], random.Random(first)

    async def collect() -> None:
        for _ in range(asked.jobs):
            name, received = await receiver.next()
            type_, began = submitted[name]
            times.append(received - began)
            await broker.transition(type_, name, Status.DONE)

    collecting = asyncio.create_task(collect())
    for number in range(first, first + asked.jobs):
        body = kit.body(number, f"http://127.0.0.1:{port}/cb/")
        type_ = type_name(chance.randrange(asked.types))
        submitted[body["request_id"]] = type_, time.perf_counter()
        await broker.submit(type_, submission(body))
        await asyncio.sleep(1 / asked.rate)
    await collecting
    serving.close()
    return times


def spread(times: list[float]) -> str:
    middle, slow, most = (
        seconds * 1000 for seconds in (median(times), kit.p99_of(times), max(times))
    )
    return f"p50 {middle:.0f} ms, p99 {slow:.0f} ms, most {most:.0f} ms"


def used_memory(server: Server) -> int:
    with kit.plain(server) as client:
        return int(client.info("memory")["used_memory"])


def memory(server: Server, pids: list[int]) -> str:
    notifiers = max(kit.resident(pid) for pid in pids) / 2**20
    redis = kit.resident(server.process.pid) / 2**20 if server.process else 0
    return f"{notifiers:.0f} MB the largest notifier, {redis:.0f} MB Redis"


def main() -> None:
    asked = arguments()
    with kit.store() as server, ExitStack() as stack:
        before = used_memory(server)
        kit.run(server.url, lambda broker: make_types(broker, asked))
        a_type = (used_memory(server) - before) / asked.types
        pids = start(server, asked.notifiers, stack)
        print(f"{asked.types} types, {asked.notifiers} notifiers")
        print(f"first checks: {until_calm(server):.0f} s")
        print(f"connections a notifier: {connections(server, asked.notifiers):.1f}")
        used = sum(map(kit.cpu, pids))
        print(f"idle commands a second: {commands(server, asked.idle):.0f}")
        share = (sum(map(kit.cpu, pids)) - used) / asked.idle / asked.notifiers
        print(f"idle CPU of a notifier: {share:.1%}")
        used = sum(map(kit.cpu, pids))
        times = kit.run(server.url, lambda broker: latencies(broker, asked, 0))[WARM_UP:]
        print(f"submit to callback: {spread(times)}")
        milliseconds = (sum(map(kit.cpu, pids)) - used) / asked.jobs * 1000
        print(f"CPU of all notifiers: {milliseconds:.1f} ms a job")
        print(f"memory: {memory(server, pids)}, {a_type:.0f} bytes of it a type with one host")


if __name__ == "__main__":
    main()
