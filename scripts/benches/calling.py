"""The courier: callbacks a second against other senders, and their cost."""

from __future__ import annotations

import http.client
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import orjson

from benches import kit, peers
from benches.kit import Figure, Size
from rq_broker.admission.granter import CHUNK
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Job, Submission
from rq_broker.domain.planning import Grant, Head
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import WAKE_CHANNEL, Keys

IN_FLIGHT = 50
DESTINATIONS = 4
"""Several: one takes 64 callbacks at once at most, however many notifiers there are."""
_KEY = "whsec_" + b64encode(bytes(range(32))).decode()
_DELIVERIES = Keys(kit.TYPE).of("deliveries")
_PARKED = f"{_DELIVERIES}:parked"
_AT_ONCE = 4
"""Calls to Redis under way while jobs are made."""
_WAKE = Keys(kit.TYPE).of("wake")


class Sink:
    """The sink process, a receiver that stands for several destinations."""

    def __init__(self) -> None:
        self.ports = [free_port() for _ in range(DESTINATIONS)]

    @property
    def destinations(self) -> list[str]:
        """The destinations it stands for."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def callback(self, number: int) -> str:
        """Build the start of a job's callback; jobs are spread over the destinations in turn."""
        return f"http://127.0.0.1:{self.ports[number % DESTINATIONS]}/cb/"

    def serve(self, stack: ExitStack) -> None:
        """Start the process."""
        stack.enter_context(kit.process(*kit.role("sink", *self.ports)))
        for port in self.ports:
            kit.until_serves(port)

    def read(self, path: str) -> tuple[int, int, float]:
        """Read the callbacks received, their distinct paths, and the seconds from first to last."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0])
        connection.request("GET", path)
        count, paths, seconds = orjson.loads(connection.getresponse().read())
        connection.close()
        return count, paths, seconds

    def rate(self, count: int) -> float:
        """Wait until `count` callbacks arrived; returns callbacks a second, and starts anew."""
        kit.until(lambda: self.read("/stats")[1] >= count, f"{count} callbacks", 180)
        received, _, seconds = self.read("/reset")
        return (received - 1) / seconds


def callbacks(size: Size) -> list[Figure]:
    """Callbacks a second from claim to settle: against bare aiohttp, BullMQ, and two processes."""
    count, folder = size.of(20_000, 5_000), peers.node_peers()
    exchanges: list[float] = []
    with TemporaryDirectory() as work, ExitStack() as stack:
        sink = Sink()
        sink.serve(stack)
        frozen = _due(Path(work) / "due.rdb", count, sink)

        def notifiers(processes: int) -> float:
            rate, exchanged = _notified(frozen, processes, count, sink)
            exchanges.append(exchanged)
            return rate

        def bare() -> float:
            kit.measured(*kit.role("bare", count, IN_FLIGHT, *sink.ports))
            return sink.rate(count)

        def bull() -> float:
            if isinstance(folder, str):
                return 0.0
            with kit.store() as server:
                peers.node(folder, "deliver.mjs", count, IN_FLIGHT, server.port, *sink.ports)
            return sink.rate(count)

        ones, bares, bulls, twos = kit.turns(
            size.of(4, 3), lambda: notifiers(1), bare, bull, lambda: notifiers(2)
        )
    name = "callbacks: one notifier, "
    against_bull = Figure(f"{name}BullMQ", str(folder))
    if all(bulls):
        against_bull = kit.compared(f"{name}BullMQ", ones, bulls, least=2.0)
    least = 1.3 if kit.CORES >= kit.CORES_FOR_TWO else 0.0
    return [
        kit.compared(f"{name}bare aiohttp", ones, bares, least=0.9),
        against_bull,
        kit.compared(f"callbacks: two notifiers, one; {kit.CORES} cores", twos, ones, least=least),
        Figure("callbacks: Redis commands a callback", f"{median(exchanges[::2]):.2f}"),
        _memory(size.of(100_000, 20_000)),
    ]


def _due(target: Path, count: int, sink: Sink) -> Path:
    """Save a state with `count` callbacks due, kept aside until `unpark` releases them."""
    with kit.store() as server:
        let_be_due(server, count, sink)
        return kit.freeze(server, target)


def let_be_due(server: Server, count: int, sink: Sink, offer: float = 86400.0) -> None:
    """Grant `count` jobs, their callbacks kept aside until `unpark` releases them."""
    amounts = {"VCPU": count, "Memory": 1024 * count, "Disk": 10 * count}
    host = Host("host1", amounts, aggregates=frozenset({"host1"}))

    def build(number: int) -> Submission:
        return submission(kit.body(number, sink.callback(number)))

    async def work(broker: Broker) -> None:
        await broker.set_host(kit.TYPE, host)
        await broker.set_policy(kit.TYPE, {"offer": offer})
        await broker.set_keys(kit.TYPE, "*", [_KEY])
        await broker.set_policy(kit.TYPE, {"concurrency": 10_000})
        state = await broker.type_state(kit.TYPE)

        async def grant_jobs(first: int) -> None:
            new = [build(number) for number in range(first, min(first + CHUNK, count))]
            jobs = [job for job in await broker.submit_many(kit.TYPE, new) if isinstance(job, Job)]
            heads = [Head(job.id, job.request_id, job.priority) for job in jobs]
            proposed = [
                Grant(head, each.shape, (host.name,)) for head, each in zip(heads, new, strict=True)
            ]
            granted = await broker.grant_many(kit.TYPE, proposed, state)
            assert None not in granted.fences

        with kit.plain(server) as client:
            parked = list[str]()
            for first in range(0, count, _AT_ONCE * CHUNK):
                last = min(first + _AT_ONCE * CHUNK, count)
                await kit.fan(range(first, last, CHUNK), _AT_ONCE, grant_jobs)
                parked.append(f"{_PARKED}:{first}")
                client.rename(_DELIVERIES, parked[-1])
                kit.drop_callbacks(client, *sink.destinations)
            client.zunionstore(_PARKED, parked)
            client.delete(*parked)
        await broker.set_policy(kit.TYPE, {"concurrency": 1000})  # no limit here

    kit.run(server.url, work)
    with kit.plain(server) as client:
        client.delete(_WAKE)


def unpark(server: Server) -> None:
    """Release the callbacks that were kept aside."""
    with kit.plain(server) as client:
        client.rename(_PARKED, _DELIVERIES)
        client.zadd(_WAKE, {"deliver": 0})
        client.publish(WAKE_CHANNEL, f"{kit.TYPE} deliver 0 0")


def _start(stack: ExitStack, server: Server, processes: int) -> list[int]:
    options = ("--redis", server.url, "--type", kit.TYPE, "--concurrency", IN_FLIGHT)
    command = kit.command("notifier", *options, *kit.LOOPBACK_ONLY)
    pids = [stack.enter_context(kit.process(*command)) for _ in range(processes)]
    kit.until_listening(server, processes)
    return pids


def _notified(frozen: Path, processes: int, count: int, sink: Sink) -> tuple[float, float]:
    """Deliver all that is due; returns callbacks a second, and Redis commands a callback."""
    with kit.store(frozen=frozen) as server, ExitStack() as stack:
        client = stack.enter_context(kit.plain(server))
        _start(stack, server, processes)
        client.config_resetstat()
        unpark(server)
        rate = sink.rate(count)
        stats = client.info("commandstats")
        calls = sum(
            stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval")
        )
        return rate, calls / count


def _memory(count: int) -> Figure:
    """Measure the memory of one notifier with `count` callbacks due."""
    with TemporaryDirectory() as work, ExitStack() as stack:
        sink = Sink()
        frozen = _due(Path(work) / "due.rdb", count, sink)
        server = stack.enter_context(kit.store(frozen=frozen))
        (notifier,) = _start(stack, server, 1)
        before = kit.resident(notifier)
        sink.serve(stack)
        unpark(server)
        sink.rate(count)
        peak = kit.resident(notifier, "VmHWM")
    value = f"{peak / 1e6:.0f} MB at most, {before / 1e6:.0f} MB with none due"
    return Figure(f"callbacks: memory, {count:,} due", value)
