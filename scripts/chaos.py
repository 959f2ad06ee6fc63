"""Kill notifiers under load and count callbacks: every grant's must arrive. `chaos.py [SECONDS]`

For 60 s, or as many as given, one of three notifiers gets SIGKILL every second. Prints the grants,
the callbacks received and missing (must be 0), the duplicates, and the findings of the audit.
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

from rq_broker.api.submit import submission
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
"""Seconds that an attempt may take. The claim of a killed notifier ends five seconds later."""


class Receiver:
    """Answers 200 after up to 50 ms, and counts the callbacks by webhook-id."""

    def __init__(self) -> None:
        self.callbacks: Counter[str] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields["content-length"]))
                self.callbacks[fields["webhook-id"]] += 1
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
    """Submit at a steady rate; returns the number of jobs."""
    count, started = 0, time.monotonic()
    while time.monotonic() < until:
        body = kit.body(count, f"http://127.0.0.1:{sink}/cb/")
        await broker.submit(kit.TYPE, submission(body))
        count += 1
        await asyncio.sleep(max(0.0, started + count / RATE - time.monotonic()))
    return count


async def kill(notifiers: list[subprocess.Popen[bytes]], server: Server, until: float) -> int:
    """Kill a notifier at random every second, and start another; returns the number killed."""
    killed = 0
    while time.monotonic() < until:
        await asyncio.sleep(1)
        victim = random.randrange(len(notifiers))
        notifiers[victim].kill()
        notifiers[victim].wait()
        notifiers[victim] = notifier(server)
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
        notifiers = [notifier(server) for _ in range(NOTIFIERS)]
        try:
            until = time.monotonic() + seconds
            count, killed = await asyncio.gather(
                load(broker, sink, until), kill(notifiers, server, until)
            )
            async with asyncio.timeout(60):
                while (await broker.counts(kit.TYPE))[Status.RUNNING] < count:
                    await asyncio.sleep(0.2)
        finally:
            for child in notifiers:
                child.kill()
                child.wait()
        granted = {f"{kit.TYPE}_{job.id}_{job.fence}" for job in await all_jobs(broker)}
        findings = await audit(client, kit.TYPE)
        await broker.aclose()
    serving.close()
    missing = granted - set(receiver.callbacks)
    received = sum(receiver.callbacks.values())
    duplicates = received - len(receiver.callbacks)
    print(f"{seconds:.0f} s, {NOTIFIERS} notifiers, {killed} killed; {len(granted)} grants")
    print(f"{received} callbacks received, {duplicates} of them duplicates")
    print(f"{len(missing)} missing; audit: {[str(finding) for finding in findings] or 'clean'}")
    return len(missing) + len(findings)


async def all_jobs(broker: Broker) -> list[Job]:
    """Read every job."""
    jobs: list[Job] = []
    after = None
    while True:
        page = await broker.page(kit.TYPE, after=after)
        jobs += page.jobs
        after = page.next
        if after is None:
            return jobs


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))))
