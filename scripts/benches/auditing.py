"""The cost of an audit: CPU a job, its time, and what submits beside it notice."""

from __future__ import annotations

import asyncio
import itertools
import resource
import time
from statistics import median

from benches import kit
from benches.kit import Figure, Size
from rq_broker.api.submit import submission
from rq_broker.domain.jobs import Status, Submission
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server

_OWNERS = 100
_ENDED_SHARE = 10
"""One of so many jobs has ended."""
_ROUNDS = 3
_INTERVAL = 0.005
"""Seconds between two submits: so few that waiting for each other adds nothing."""
_ALONE = 1000
"""Submits measured without an audit, before each of them."""
_FIRST = 20_000_000
"""Number of the first job submitted while something is measured."""


def audit(size: Size) -> list[Figure]:
    """`rq-broker audit` of a queue: alone, and with submits beside it against submits alone."""
    jobs, numbers = size.of(1_000_000, 200_000), itertools.count(_FIRST)
    with kit.store() as server:
        kit.fill(server, jobs, _owned)
        kit.run(server.url, lambda broker: _end(broker, jobs // _ENDED_SHARE))
        costs = [_cost(server, jobs) for _ in range(_ROUNDS)]
        rounds = [_beside(server, numbers) for _ in range(_ROUNDS)]
    wall, audit_cpu, redis_cpu = (median(column) for column in zip(*costs, strict=True))
    alone, beside, walls = (list(column) for column in zip(*rounds, strict=True))
    most = 60 * jobs / 1_000_000
    cpu = f"CPU a job: audit {audit_cpu:.1f} µs, Redis {redis_cpu:.1f} µs"
    return [
        kit.bounded(f"audit: {jobs:,} jobs", wall, f"s; {cpu}", most=most),
        kit.bounded("audit: the same beside 200 submits/s", median(walls), "s", most=most),
        kit.rated(
            "audit: p99 of submits beside it, alone",
            kit.against([x * 1e3 for x in beside], [x * 1e3 for x in alone], "ms"),
            kit.ratios(beside, alone),
            most=2.0,
        ),
    ]


def _owned(number: int) -> Submission:
    return submission(kit.body(number, owner_id=f"owner{number % _OWNERS}"))


async def _end(broker: Broker, count: int) -> None:
    """End the first jobs, so that not all that is audited waits."""

    async def end(number: int) -> None:
        await broker.transition(kit.TYPE, f"req-{number:08d}", Status.DONE)

    await kit.fan(range(count), 100, end)


def _cost(server: Server, jobs: int) -> tuple[float, float, float]:
    """Audit; returns the seconds, and the µs of CPU a job in the audit and in Redis."""
    assert server.process
    pid = server.process.pid
    started, mine, redis = time.perf_counter(), _children_cpu(), kit.cpu(pid)

    async def run() -> None:
        await _audit(server)

    asyncio.run(run())
    seconds = time.perf_counter() - started
    used = _children_cpu() - mine, kit.cpu(pid) - redis
    return seconds, used[0] / jobs * 1e6, used[1] / jobs * 1e6


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def _audit(server: Server) -> None:
    """Run the command; it must find nothing."""
    command = kit.command("audit", "--redis", server.url)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=kit.SCRIPTS, stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    if output != "clean\n":
        raise RuntimeError(f"the audit printed {output[:2000]}")


def _beside(server: Server, numbers: itertools.count[int]) -> tuple[float, float, float]:
    """Submit one job after the other, alone and then beside an audit.

    Returns the p99 of each, and how long the audit took.
    """

    async def work(broker: Broker) -> tuple[float, float, float]:
        async def submit_one() -> float:
            await asyncio.sleep(_INTERVAL)
            started = time.perf_counter()
            await broker.submit(kit.TYPE, _owned(next(numbers)))
            return time.perf_counter() - started

        alone = [await submit_one() for _ in range(_ALONE)]
        started = time.perf_counter()
        auditing = asyncio.create_task(_audit(server))
        beside = []
        while not auditing.done():
            beside.append(await submit_one())
        await auditing
        return kit.p99_of(alone), kit.p99_of(beside), time.perf_counter() - started

    return kit.run(server.url, work)
