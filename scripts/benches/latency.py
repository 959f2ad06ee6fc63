"""Latency: from a submit to its callback, and from freed capacity to the next callback."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from urllib.parse import quote

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
    """From a submit over HTTP to its callback, idle: API, notifier and receiver are processes."""
    port, sink = free_port(), free_port()
    with kit.store("--appendonly", "yes") as server, ExitStack() as stack:
        stack.enter_context(
            kit.process(
                *kit.command("api", "--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
            )
        )
        _notify(stack, server)
        kit.until_serves(port)

        async def work(broker: Broker) -> list[float]:
            await broker.set_host(kit.TYPE, _host(1 << 20))
            receiver, times = Receiver(), []
            serving = await receiver.serve(sink)
            for number in range(size.of(200, 50) + _WARM_UP):
                content = orjson.dumps(kit.body(number, f"http://127.0.0.1:{sink}/cb/"))
                started = time.perf_counter()
                await raw.send(port, iter([raw.post(f"/v1/{quote(kit.TYPE)}/", content)]), 1)
                times.append((await receiver.next())[1] - started)
                await asyncio.sleep(_PAUSE)
            serving.close()
            return times[_WARM_UP:]

        times = kit.run(server.url, work)
    return [Figure("callback-latency: submit to callback, idle", kit.spread(times))]


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
        figures.append(Figure(f"freed: to the next callback, {name}", kit.spread(times)))
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
