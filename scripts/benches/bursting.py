"""A burst: how soon jobs are called after their grants while tens of thousands are granted."""

from __future__ import annotations

import http.client
from contextlib import ExitStack
from statistics import median

import orjson

from benches import kit
from benches.calling import Sink
from benches.kit import Figure, Size
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Submission
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys

_KEYS = Keys(kit.TYPE)
_MOST_SECONDS = 1.0
"""A callback goes out within it, for 99 of 100 grants."""


def burst(size: Size) -> list[Figure]:
    """Seconds from grant to callback, and jobs granted and called a second, from a full queue."""
    count = size.of(50_000, 10_000)
    with ExitStack() as stack:
        sink = Sink()
        sink.serve(stack)
        server = stack.enter_context(kit.store())
        _fill(server, count, sink)
        options = ("--redis", server.url, "--type", kit.TYPE, *kit.LOOPBACK_ONLY)
        stack.enter_context(kit.process(*kit.command("notifier", *options)))
        kit.until_listening(server, 1)
        kit.run(server.url, lambda broker: broker.set_policy(kit.TYPE, {"paused": False}))
        kit.until(lambda: sink.read("/stats")[1] >= count, f"{count} callbacks", 300)
        granted, arrived = _granted(server, count), _arrivals(sink)
    waits = [arrived[number] - granted[number] for number in range(count)]
    name = f"burst of {count:,} jobs, one notifier"
    p99 = kit.p99_of(waits)
    seconds = max(arrived.values()) - min(granted)
    return [
        kit.bounded(f"{name}: grant to callback, p99", p99 * 1e3, "ms", most=_MOST_SECONDS * 1e3),
        Figure(f"{name}: grant to callback, median", f"{median(waits) * 1e3:.0f} ms"),
        Figure(f"{name}: grant to callback, longest", f"{max(waits) * 1e3:.0f} ms"),
        Figure(f"{name}: granted and called", f"{count / seconds:,.0f} /s"),
    ]


def _fill(server: Server, count: int, sink: Sink) -> None:
    """Submit the jobs to a paused type whose one host has room for all of them."""
    amounts = {"VCPU": count, "Memory": 1024 * count, "Disk": 10 * count}
    host = Host("host1", amounts, aggregates=frozenset({"host1"}))

    async def prepare(broker: Broker) -> None:
        await broker.set_policy(kit.TYPE, {"paused": True})
        await broker.set_host(kit.TYPE, host)

    def build(number: int) -> Submission:
        return submission(kit.body(number, sink.callback(number)))

    kit.run(server.url, prepare)
    kit.fill(server, count, build)


def _granted(server: Server, count: int) -> list[float]:
    """Read when each job was granted, seconds since 1970."""
    with kit.plain(server) as client, client.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.hget(_KEYS.of("job", f"req-{number:08d}"), "granted")
        return [int(milliseconds) / 1000 for milliseconds in pipe.execute()]


def _arrivals(sink: Sink) -> dict[int, float]:
    """Read when the first callback of each job arrived, seconds since 1970."""
    connection = http.client.HTTPConnection("127.0.0.1", sink.ports[0])
    connection.request("GET", "/arrivals")
    times: dict[str, float] = orjson.loads(connection.getresponse().read())
    connection.close()
    return {int(path.rpartition("/")[2]): time for path, time in times.items()}
