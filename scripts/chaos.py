"""Kill notifiers at random under load, and count: every grant's callback must still arrive.

usage: chaos.py [SECONDS]   three notifiers, one killed with SIGKILL every second (default 60)
prints grants, callbacks received, missing (must be 0), duplicates, and what the audit says.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

from benches import kit

from rq_broker.api import bodies
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server, free_port

RATE = 200
"""Submits a second."""
NOTIFIERS = 3
TIMEOUT = 1.0
"""Seconds an attempt may take: a lease is five longer."""


class Receiver:
    """Answers 200, a little late, and counts what came by webhook-id."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields["content-length"]))
                self.came[fields["webhook-id"]] += 1
                await asyncio.sleep(random.random() * 0.05)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


def notifier(server: Server) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        kit.command("notifier", "--redis", server.url, "--timeout", TIMEOUT, *kit.ALLOW_LOOPBACK),
        cwd=kit.SCRIPTS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def load(broker: Broker, sink: int, until: float) -> int:
    """Submit at a steady rate; returns how many."""
    count, started = 0, time.monotonic()
    while time.monotonic() < until:
        body = kit.body(count, f"http://127.0.0.1:{sink}/cb/")
        await broker.submit(kit.TYPE, bodies.submission(body))
        count += 1
        await asyncio.sleep(max(0.0, started + count / RATE - time.monotonic()))
    return count


async def kill(crew: list[subprocess.Popen[bytes]], server: Server, until: float) -> int:
    """Kill one at random every second, and start another; returns how many."""
    killed = 0
    while time.monotonic() < until:
        await asyncio.sleep(1)
        victim = random.randrange(len(crew))
        crew[victim].kill()
        crew[victim].wait()
        crew[victim] = notifier(server)
        killed += 1
    return killed


async def main(seconds: float) -> int:
    receiver, sink = Receiver(), free_port()
    serving = await asyncio.start_server(receiver.handle, "127.0.0.1", sink)
    with kit.store("--appendonly", "yes") as server:
        client = connect(server.url)
        broker = Broker(client)
        room = {"VCPU": 10**9, "Memory": 10**12, "Disk": 10**12}
        await broker.set_host(kit.TYPE, Host("h", room, aggregates=frozenset({"host1"})))
        crew = [notifier(server) for _ in range(NOTIFIERS)]
        try:
            until = time.monotonic() + seconds
            count, killed = await asyncio.gather(
                load(broker, sink, until), kill(crew, server, until)
            )
            async with asyncio.timeout(60):
                while (await broker.counts(kit.TYPE))[Status.RUNNING] < count:
                    await asyncio.sleep(0.2)
        finally:
            for child in crew:
                child.kill()
                child.wait()
        granted = {f"{kit.TYPE}_{job.id}_{job.fence}" for job in await everyone(broker)}
        findings = await audit(client, kit.TYPE)
        await broker.aclose()
    serving.close()
    missing = granted - set(receiver.came)
    again = sum(receiver.came.values()) - len(receiver.came)
    print(f"{seconds:.0f} s, {NOTIFIERS} notifiers, {killed} killed; {len(granted)} grants")
    print(f"{sum(receiver.came.values())} callbacks received, {again} of them duplicates")
    print(f"{len(missing)} missing; audit: {[str(each) for each in findings] or 'clean'}")
    return len(missing) + len(findings)


async def everyone(broker: Broker) -> list[Job]:
    """Read every job."""
    found, after = [], None
    while True:
        page = await broker.page(kit.TYPE, after=after)
        found += page.jobs
        after = page.next
        if after is None:
            return found


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))))
