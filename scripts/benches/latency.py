"""Latency: from a submit to its callback, and from freed capacity to the next callback."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from contextlib import ExitStack
from functools import partial
from operator import sub
from urllib.parse import quote

import aiohttp
import orjson

from benches import kit, raw
from benches.kit import Figure, Size
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status, Submission
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port

_PAUSE = 0.02
"""Seconds between two measurements, so that each starts on an idle system."""
_WARM_UP = 20
_OWNERS = 100
_LOAD = 0.7
"""Of the most jobs a second that can be submitted, granted and called, those that are submitted."""
_AT_ONCE = 32


class Receiver:
    """A receiver of callbacks that notes the job and the time of each."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
        self._done = raw.answer()

    async def serve(self, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: raw.Serving(self._answer), "127.0.0.1", port)

    def _answer(self, head: bytes, _: bytes) -> bytes:
        path = head.split(b" ", 2)[1].decode()
        self._received.put_nowait((f"req-{path.removeprefix('/cb/')}", time.perf_counter()))
        return self._done

    async def next(self) -> tuple[str, float]:
        """Wait for the next callback; returns the job's request_id and the time of arrival."""
        async with asyncio.timeout(30):
            return await self._received.get()


def callback_latency(size: Size) -> list[Figure]:
    """From a submit over HTTP to its callback: API, notifier and receiver are processes.

    Idle, one after the other; then with as many as 70 % of what the three can do, and again while
    Redis rewrites its append-only file, for which it forks a process that takes a core.
    """
    port, sink = free_port(), free_port()
    no_rewrite = ("--auto-aof-rewrite-percentage", "0")
    with kit.store("--appendonly", "yes", *no_rewrite) as server, ExitStack() as stack:
        stack.enter_context(
            kit.process(
                *kit.command("api", "--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
            )
        )
        _notify(stack, server)
        kit.until_serves(port)

        async def work(broker: Broker) -> tuple[list[float], float, list[list[float]], float]:
            await broker.set_host(kit.TYPE, _host(1 << 20))
            await broker.set_policy(kit.TYPE, {"queue_limits": {}})
            calls = _Calls(port, sink)
            serving = await calls.receiver.serve(sink)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as calls.http:
                idle = [await calls.idle() for _ in range(size.of(200, 50) + _WARM_UP)]
                rate = await calls.most(size.of(4000, 1000))
                before = kit.core_ticks()
                loaded = [await calls.loaded(_LOAD * rate, size.of(8, 4))]
                worked, rested = map(sub, kit.core_ticks(), before)
                await broker.runner.command("BGREWRITEAOF")
                loaded.append(await calls.loaded(_LOAD * rate, size.of(8, 4)))
            serving.close()
            return idle[_WARM_UP:], rate, loaded, worked / (worked + rested)

        idle, rate, loaded, busy = kit.run(server.url, work)
    name = "callback-latency: submit to callback"
    beside = f", at {_LOAD:.0%} of {rate:,.0f} /s, cores busy for {busy:.0%}"
    return [
        kit.timed(f"{name}, idle", idle, p99=5),
        kit.timed(f"{name}, under load", loaded[0], p99=25, beside=beside),
        Figure(f"{name}, under load, file rewritten", kit.spread(loaded[1])),
    ]


def many_types(size: Size) -> list[Figure]:
    """From a submit over HTTP to its callback, in one of many types at a time; all are idle."""
    port, sink, count = free_port(), free_port(), size.of(10_000, 1000)
    with kit.store("--appendonly", "yes") as server, ExitStack() as stack:
        options = ("--redis", server.url, *kit.LOOPBACK_ONLY)

        async def prepare(broker: Broker) -> None:
            await kit.fan(range(count), 100, lambda n: broker.set_host(f"type{n}", _host(1 << 20)))

        kit.run(server.url, prepare)
        stack.enter_context(kit.process(*kit.command("api", *options, "--port", port)))
        notifier = stack.enter_context(kit.process(*kit.command("notifier", *options)))
        kit.until_listening(server, 1)
        kit.until_serves(port)

        async def work(_: Broker) -> list[float]:
            calls = _Calls(port, sink)
            serving = await calls.receiver.serve(sink)
            types = random.Random(1).sample(range(count), size.of(200, 50) + _WARM_UP)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as calls.http:
                times = [await calls.idle(f"type{number}") for number in types]
            serving.close()
            return times[_WARM_UP:]

        times = kit.run(server.url, work)
        memory = f", notifier {kit.resident(notifier) / 1e6:.0f} MB"
    name = f"types: submit to callback, each in another of {count:,}"
    return [kit.timed(name, times, p99=50, beside=memory)]


class _Calls:
    """Submits of jobs that are all granted at once, and their callbacks."""

    def __init__(self, port: int, sink: int) -> None:
        self._port, self._callback = port, f"http://127.0.0.1:{sink}/cb/"
        self._numbers = itertools.count()
        self.receiver = Receiver()
        self.http: aiohttp.ClientSession

    async def idle(self, type_: str = kit.TYPE) -> float:
        """Submit one job, and wait for its callback; returns the seconds between."""
        started, _ = await self._submit(type_=type_)
        received = (await self.receiver.next())[1]
        await asyncio.sleep(_PAUSE)
        return received - started

    async def most(self, count: int) -> float:
        """Submit jobs, some at a time; returns how many a second are submitted and called."""
        started = time.perf_counter()
        await kit.fan(range(count), _AT_ONCE, lambda _: self._submit())
        for _ in range(count):
            _, received = await self.receiver.next()
        return count / (received - started)

    async def loaded(self, rate: float, seconds: float) -> list[float]:
        """Submit jobs at random times, `rate` a second; returns the seconds to each callback."""
        gc.disable()  # what this process collects would be measured as well
        submits, end = list[asyncio.Task[tuple[float, str]]](), time.perf_counter() + seconds
        due = time.perf_counter()
        while due < end:
            due += random.expovariate(rate)
            await asyncio.sleep(due - time.perf_counter())
            submits.append(asyncio.create_task(self._submit(due)))
        received = dict([await self.receiver.next() for _ in submits])
        started = [await submit for submit in submits]
        gc.enable()
        return [received[name] - begun for begun, name in started]

    async def _submit(
        self, due: float | None = None, *, type_: str = kit.TYPE
    ) -> tuple[float, str]:
        """Submit one job; returns when that was due, and its name."""
        job = kit.body(next(self._numbers), self._callback)
        started = time.perf_counter() if due is None else due
        async with self.http.post(f"/v1/{quote(type_)}/", data=orjson.dumps(job)) as answer:
            await answer.read()
            answer.raise_for_status()
        return started, str(job["request_id"])


def freed(size: Size) -> list[Figure]:
    """From freed capacity to the next job's callback: with a short queue, and with a long one."""
    rounds = size.of(200, 50) + _WARM_UP
    figures = []
    for name, waiting in (("idle", rounds + 1), ("100,000 waiting", size.of(100_000, 20_000))):
        with kit.store("--appendonly", "yes") as server, ExitStack() as stack:
            sink = free_port()
            kit.fill(server, waiting, partial(_owned, sink))
            _notify(stack, server)

            async def work(broker: Broker, sink: int = sink) -> list[float]:
                receiver, times = Receiver(), []
                serving = await receiver.serve(sink)
                await broker.set_host(kit.TYPE, _host(1))
                holder, _ = await receiver.next()
                for _ in range(rounds):
                    await asyncio.sleep(_PAUSE)
                    started = time.perf_counter()
                    await broker.transition(kit.TYPE, holder, Status.DONE)
                    holder, received = await receiver.next()
                    times.append(received - started)
                serving.close()
                return times[_WARM_UP:]

            times = kit.run(server.url, work)
        figures.append(kit.timed(f"freed: to the next callback, {name}", times, p99=5))
    return figures


def _notify(stack: ExitStack, server: Server) -> None:
    options = ("--redis", server.url, "--type", kit.TYPE, *kit.LOOPBACK_ONLY)
    stack.enter_context(kit.process(*kit.command("notifier", *options)))
    kit.until_listening(server, 1)


def _host(slots: int) -> Host:
    capacity = {"VCPU": slots, "Memory": 1024 * slots, "Disk": 10 * slots}
    return Host("host1", capacity, aggregates=frozenset({"host1"}))


def _owned(sink: int, number: int) -> Submission:
    """Build a submission of one of 100 owners, and so of one of 100 shapes."""
    owner = f"owner{number % _OWNERS}"
    return submission(kit.body(number, f"http://127.0.0.1:{sink}/cb/", owner_id=owner))
