"""The cost of a submit: from Python, and in Redis's memory."""

from __future__ import annotations

from statistics import median

from benches import kit, peers
from benches.kit import Figure, Size
from rq_broker.store.embedded import Server

_STORED = 100_000
"""Jobs whose memory is compared."""


def submit(size: Size) -> list[Figure]:
    """Broker.submit from Python, 16 in flight, against BullMQ's add on the same Redis.

    The other rows are limits: calls by the same client that let Redis run a script that does
    nothing, and scripts that only write what submits do.
    """
    count, folder = size.of(30_000, 10_000), peers.node_peers()
    with kit.store() as server, kit.plain(server) as client:

        def ours() -> list[float]:
            client.flushall()
            return list(kit.measured(*kit.role("submit", server.url, count)))

        if isinstance(folder, str):
            rate = median(ours()[0] for _ in range(size.pairs))
            return [Figure("submit: Broker.submit, BullMQ", f"{rate:,.0f} /s", folder)]
        bullmq = folder

        def theirs() -> list[float]:
            client.flushall()
            return list(peers.node(bullmq, "add.mjs", count, 16, server.port))

        def asking() -> list[float]:
            return list(kit.measured(*kit.role("asks", server.url, count)))

        def writing() -> list[float]:
            client.flushall()
            return list(kit.measured(*kit.role("writes", server.url, count)))

        mine, bull, asks, writes = kit.turns(size.pairs, ours, theirs, asking, writing)
    rates = _column(writes, 0), _column(bull, 0)
    only_writes = kit.rated(
        "submit: its writes only, BullMQ", kit.against(*rates, "/s"), kit.ratios(*rates)
    )
    return [
        _against("submit: Broker.submit, BullMQ", mine, bull, least=1.3),
        _against("submit: asking Redis only, BullMQ", asks, bull),
        only_writes,
    ]


def _against(
    name: str, ours: list[list[float]], theirs: list[list[float]], *, least: float = 0.0
) -> Figure:
    rates = _column(ours, 0), _column(theirs, 0)
    cpu = kit.against(_column(ours, 1), _column(theirs, 1), "µs")
    value = f"{kit.against(*rates, '/s')}; client CPU {cpu}"
    return kit.rated(name, value, kit.ratios(*rates), least=least)


def _column(rows: list[list[float]], number: int) -> list[float]:
    return [row[number] for row in rows]


# Memory


def memory(size: Size) -> list[Figure]:
    """Redis bytes per waiting job, all indexes, against BullMQ's; and of three million jobs."""
    folder, figures = peers.node_peers(), []
    for name, options, most in (
        ("defaults", (), 0.7),
        ("listpack 1024", ("--hash-max-listpack-value", "1024"), 1.0),
    ):
        with kit.store(*options) as server:
            job_bytes = _job_bytes(server, _STORED)
            if isinstance(folder, str):
                figures.append(Figure(f"memory: {name}", f"{job_bytes:,.0f} bytes a job", folder))
                continue
            bullmq = peers.node(folder, "add.mjs", _STORED, 50, server.port)[2]
        value = kit.against([job_bytes], [bullmq], "bytes a job")
        ratios = [job_bytes / bullmq]
        figures.append(kit.rated(f"memory: waiting, BullMQ; {name}", value, ratios, most=most))
    count = size.of(3_000_000, 300_000)
    with kit.store() as server:
        job_bytes = _job_bytes(server, count)
        resident = server.process and kit.resident(server.process.pid)
    value = f"{job_bytes:,.0f} bytes a job, {(resident or 0) / 1e9:.2f} GB resident"
    return [*figures, Figure(f"memory: {count:,} waiting, defaults", value)]


def _job_bytes(server: Server, count: int) -> float:
    """Submit jobs; returns the bytes that Redis uses for each."""
    before = _used(server)
    kit.fill(server, count)
    return (_used(server) - before) / count


def _used(server: Server) -> int:
    with kit.plain(server) as client:
        return int(client.info("memory")["used_memory"])
