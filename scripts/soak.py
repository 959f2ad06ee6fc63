"""Run everything at once for long, and print the memory of every process. `soak.py [MINUTES]`

Jobs are submitted over HTTP and directly, granted, called back and ended; clients list, explain and
ask what-if; each minute one fault strikes. Retention is short, so nothing may grow: at the end the
memory of each process is compared with that after the first fifth, and the audit is run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from benches.kit import resident
from faulting.ledger import Ledger
from faulting.load import TYPE, Load
from faulting.processes import Processes, running
from faulting.strikes import STRIKES, Scene
from faulting.topologies import Single
from faulting.trial import drain, publish, unfinished, until_ready

from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

MINUTES = 30.0
RATE = 40.0
"""Submits a second over HTTP; half as many come from direct clients."""
RETENTION = 30.0
"""Seconds for which ended jobs are kept: soon as many are deleted as are submitted."""
FAULTS = ("script-flush", "client-kill", "cut", "stop", "oom", "move", "delay")
"""None that ends a process of the broker: its memory would begin anew."""
DRAIN_SECONDS = 60.0
"""Seconds that jobs have to end after the last submit."""
QUESTION_SECONDS = 0.1
"""Between two questions of the client that only reads."""
LARGEST_GROWTH = 1.2
"""Growth of a process that counts as a leak: Python's allocator alone moves by less."""


async def ask(api: str) -> None:
    """List, explain and ask what-if, again and again."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, KeyError, IndexError):
                async with session.get(f"{api}/v1/{TYPE}/?status=queued&limit=20&eta=1") as answer:
                    jobs = (await answer.json())["data"]
                name = random.choice(jobs)["RequestID"]
                async with session.get(f"{api}/v1/{TYPE}/{name}/explain") as answer:
                    await answer.read()
            await asyncio.sleep(QUESTION_SECONDS)


def memory(processes: Processes, redis: int) -> dict[str, float]:
    """Return the megabytes of each process."""
    names = ("api", *(f"notifier {number}" for number in range(1, len(processes.ids))), "redis")
    return {
        name: resident(pid) / 2**20
        for name, pid in zip(names, [*processes.ids, redis], strict=True)
    }


async def soak(minutes: float, folder: Path) -> int:
    """Run for some minutes; returns the number of things that went wrong."""
    topology, ledger = Single(folder), Ledger(32)
    await topology.start()
    with running(topology.url, folder) as processes:
        broker = Broker(connect(topology.url))
        load = Load(processes.api, broker, ledger, rate=RATE)
        await until_ready(processes.api)
        await publish(broker)
        await broker.set_policy(TYPE, {"retention": RETENTION})
        await load.start()
        asking = asyncio.create_task(ask(processes.api))
        readings = await strike_and_read(minutes, topology, processes)
        asking.cancel()
        load.stop_submits()
        await drain(broker, ledger, DRAIN_SECONDS)
        left = await unfinished(broker)
        client = connect(topology.url)
        findings = [f for f in await audit(client, TYPE) if f.severity is Severity.FAULT]
        await client.aclose()
        await load.stop()
        await broker.aclose()
    await topology.stop()
    return report(readings, ledger, left, [str(finding) for finding in findings])


async def strike_and_read(
    minutes: float, topology: Single, processes: Processes
) -> list[dict[str, float]]:
    """Let a fault strike each minute, and read the memory after each."""
    readings: list[dict[str, float]] = []
    faults, end = cycle(FAULTS), time.monotonic() + minutes * 60
    while time.monotonic() < end:
        minute = asyncio.create_task(asyncio.sleep(min(60.0, minutes * 60 / 5)))
        fault = next(faults)
        await STRIKES[fault](Scene(topology, processes, 2.0))
        await minute
        primary = await asyncio.to_thread(topology.primary)
        assert primary.process
        readings.append(memory(processes, primary.process.pid))
        shown = ", ".join(f"{name} {size:.1f}" for name, size in readings[-1].items())
        print(f"{len(readings)}: after {fault}: MB: {shown}", flush=True)
    return readings


def report(
    readings: list[dict[str, float]], ledger: Ledger, left: list[str], findings: list[str]
) -> int:
    """Print what the soak showed; returns the number of things that went wrong.

    The standby takes over while the primary still acknowledges, so Redis loses some writes in each
    move. A job whose `done` it lost holds on: that is told apart from jobs that the broker left.
    """
    taken_back = [request_id for request_id in left if request_id in ledger.ended]
    stuck = len(left) - len(taken_back)
    early, last = readings[len(readings) // 5], readings[-1]
    growth = {name: last[name] / early[name] for name in last}
    grown = [name for name, ratio in growth.items() if ratio > LARGEST_GROWTH]
    print(f"{len(ledger.acknowledged)} acknowledged, answers {dict(ledger.answers)}")
    print(
        "memory at the end against early: " + ", ".join(f"{n} {r:.2f}" for n, r in growth.items())
    )
    print(f"oversold {ledger.oversold}, granted twice {len(ledger.double_granted)}, left {stuck}")
    print(f"jobs that hold on since Redis lost an acknowledged `done`: {len(taken_back)}")
    print(f"repeats {ledger.repeats}, audit: {findings or 'clean'}")
    return len(grown) + ledger.oversold + len(ledger.double_granted) + stuck + len(findings)


def main() -> int:
    """Run it; returns 1 if anything went wrong."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("minutes", type=float, nargs="?", default=MINUTES, help=f"({MINUTES:g})")
    minutes = words.parse_args().minutes
    with TemporaryDirectory() as folder:
        return min(1, asyncio.run(soak(minutes, Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
