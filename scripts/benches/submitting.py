"""The cost of a submit: over HTTP, from Python, behind a million others, and in Redis's memory."""

from __future__ import annotations

import itertools
import random
import time
from statistics import median

from benches import kit
from benches.kit import Figure, Size
from rq_broker.api.submit import submission
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import Keys

_QUEUE = Keys(kit.TYPE).of("status", "queued")
_FILLED = 10_000_000
"""Number of the first job submitted in advance: above those of the measured jobs."""


def http_submit(size: Size) -> list[Figure]:
    """One uvicorn worker, 16 connections: submits against a route that only reads the body."""
    count, port = size.of(8000, 4000), free_port()
    first = itertools.count(0, count)

    with kit.store() as server, kit.process(*kit.role("api", server.url, port)) as api:

        def load(path: str) -> list[float]:
            used = kit.cpu(api)
            rate = kit.measured(*kit.role("load", port, path, next(first), count))
            return [rate, (kit.cpu(api) - used) / count * 1e6]

        kit.until_serves(port)
        kit.turns(1, lambda: load("/v1/vm/"), lambda: load("/noop"))  # a warm-up
        ours, noop = kit.turns(size.pairs, lambda: load("/v1/vm/"), lambda: load("/noop"))
    rates = _column(ours, 0), _column(noop, 0)
    cpu = kit.against(_column(ours, 1), _column(noop, 1), "µs")
    value = f"{kit.against(*rates, '/s')}; API CPU {cpu}"
    return [kit.rated("http-submit: submit, no-op", value, kit.ratios(*rates), least=0.4)]


def token_submit(size: Size) -> list[Figure]:
    """One uvicorn worker, 16 connections: submits with a client's token against anonymous ones."""
    count, ports = size.of(8000, 4000), (free_port(), free_port())
    first = itertools.count(0, count)

    with kit.store() as server:
        secret = kit.run(server.url, _token)
        with (
            kit.process(*kit.role("api", server.url, ports[0], "tokens")) as guarded,
            kit.process(*kit.role("api", server.url, ports[1])) as anonymous,
        ):

            def load(number: int, api: int, *token: str) -> list[float]:
                used = kit.cpu(api)
                submits = (ports[number], "/v1/vm/", next(first), count)
                rate = kit.measured(*kit.role("load", *submits, *token))
                return [rate, (kit.cpu(api) - used) / count * 1e6]

            def both(pairs: int) -> list[list[list[float]]]:
                return kit.turns(
                    pairs, lambda: load(0, guarded, secret), lambda: load(1, anonymous)
                )

            for port in ports:
                kit.until_serves(port)
            both(1)  # a warm-up
            with_token, without = both(size.pairs)
    rates = _column(with_token, 0), _column(without, 0)
    cpu = kit.against(_column(with_token, 1), _column(without, 1), "µs")
    value = f"{kit.against(*rates, '/s')}; API CPU {cpu}"
    return [kit.rated("token-submit: with a token, without", value, kit.ratios(*rates), least=0.9)]


async def _token(broker: Broker) -> str:
    """Make the type, and a token of a client that may submit to it."""
    await broker.set_policy(kit.TYPE, {})
    new = NewToken(Role.CLIENT, owners=[kit.OWNER], types=[kit.TYPE])
    return (await tokens.create(broker, new)).secret


def submit(size: Size) -> list[Figure]:
    """Broker.submit from Python, 16 in flight, against BullMQ's add on the same Redis."""
    count, folder = size.of(30_000, 10_000), kit.bullmq()
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
            return list(kit.node(bullmq, "add.mjs", count, 16, server.port))

        mine, bull = kit.turns(size.pairs, ours, theirs)
    rates = _column(mine, 0), _column(bull, 0)
    cpu = kit.against(_column(mine, 1), _column(bull, 1), "µs")
    value = f"{kit.against(*rates, '/s')}; client CPU {cpu}"
    return [kit.rated("submit: Broker.submit, BullMQ", value, kit.ratios(*rates), least=1.0)]


def _column(rows: list[list[float]], number: int) -> list[float]:
    return [row[number] for row in rows]


def depth(size: Size) -> list[Figure]:
    """A submit behind a million others against one behind a thousand: last, and at any place."""
    deep, rounds, numbers = size.of(1_000_000, 100_000), size.of(15, 9), itertools.count(0, 1000)
    figures = []
    with kit.store() as few, kit.store() as many:
        kit.fill(many, deep, first=_FILLED)
        for where in ("last in line", "anywhere in line"):

            def behind_many(anywhere: bool = where != "last in line") -> list[float]:
                return _cost(many, anywhere, next(numbers))

            def behind_few(anywhere: bool = where != "last in line") -> list[float]:
                with kit.plain(few) as client:
                    client.flushall()
                kit.fill(few, 1000, first=_FILLED)
                return _cost(few, anywhere, next(numbers))

            deeps, shallows = kit.turns(rounds, behind_many, behind_few)
            wall = _column(deeps, 0), _column(shallows, 0)
            alone = kit.against(_column(deeps, 1), _column(shallows, 1), "µs")
            value = f"{kit.against(*wall, 'µs')}; in Redis {alone}"
            name = f"depth: {deep:,} waiting, 1,000; {where}"
            figures.append(kit.rated(name, value, kit.ratios(*wall), most=1.3))
    return figures


def _cost(server: Server, anywhere: bool, first: int) -> list[float]:
    """Submit 1,000 jobs, 16 in flight; returns µs a job, and the µs of it spent in the script."""
    with kit.plain(server) as client:
        ends = [client.zrange(_QUEUE, at, at, withscores=True)[0][1] for at in (0, -1)]
        client.config_resetstat()

        async def work(broker: Broker) -> float:
            async def submit_job(number: int) -> None:
                priority = random.randint(*map(int, ends)) if anywhere else None
                await broker.submit(kit.TYPE, submission(kit.body(number, priority=priority)))

            await broker.ping()
            started = time.perf_counter()
            await kit.fan(range(first, first + 1000), 16, submit_job)
            return (time.perf_counter() - started) * 1000

        wall = kit.run(server.url, work)
        return [wall, client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]]


# Memory


def memory(_: Size) -> list[Figure]:
    """Redis bytes per waiting job, all indexes: by Redis's defaults, and with larger listpacks."""
    count, folder = 100_000, kit.bullmq()
    figures = []
    for name, options, most in (
        ("defaults", (), 1100),
        ("listpack 1024", ("--hash-max-listpack-value", "1024"), 800),
    ):
        with kit.store(*options) as server:
            before = _used(server)
            kit.fill(server, count)
            job_bytes = (_used(server) - before) / count
            theirs = folder
            if not isinstance(folder, str):
                bullmq_bytes = kit.node(folder, "add.mjs", count, 50, server.port)[2]
                theirs = f"BullMQ {bullmq_bytes:,.0f} bytes"
        figures.append(
            kit.bounded(f"memory: a waiting job, {name}", job_bytes, f"bytes; {theirs}", most=most)
        )
    return figures


def _used(server: Server) -> int:
    with kit.plain(server) as client:
        return int(client.info("memory")["used_memory"])
