"""Counts the requests of a snapshot of a large cloud: `placement_requests.py [providers]` (1,000).

Starts the real Placement on loopback, fills a third of its hosts, and prints a table: the first
snapshot, one without changes, one after 20 boots, and the same while every server is watched.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from uuid import uuid4

from standins.placement_server import Placement

from rq_broker.sources.placement import PlacementSource


async def measure(title: str, source: PlacementSource, watch: frozenset[str] = frozenset()) -> None:
    """Take a snapshot and print its row."""
    before, start = source.requests_sent, perf_counter()
    snapshot = await source.snapshot(watch)
    seconds = perf_counter() - start
    requests = source.requests_sent - before
    print(f"| {title:<28} | {len(snapshot.hosts):>6,} | {requests:>8,} | {seconds:>7.2f} |")


async def run(placement: Placement, count: int) -> None:
    print(f"filling {count:,} hosts …", file=sys.stderr)
    hosts = [placement.add(f"cn{number}", VCPU=64, MEMORY_MB=262144) for number in range(count)]
    booted = {host: str(uuid4()) for host in hosts[: count // 3]}
    for host, server in booted.items():
        placement.boot(server, **{host: {"VCPU": 64, "MEMORY_MB": 4096}})
    source = PlacementSource()
    print("| snapshot                     |  hosts | requests | seconds |\n|---|--:|--:|--:|")
    await measure("first", source)
    await measure("quiet", source)
    for start, watch in ((0, frozenset[str]()), (20, frozenset(booted.values()))):
        if watch:
            await measure("first that watches", source, watch)
            await measure("quiet, watching", source, watch)
        for host in hosts[-start - 20 : -start or None]:
            placement.boot(str(uuid4()), **{host: {"VCPU": 2, "MEMORY_MB": 4096}})
        await measure("after 20 boots", source, watch)
    await source.close()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("providers", type=int, nargs="?", default=1000, help="(1,000)")
    count = words.parse_args().providers
    with TemporaryDirectory() as folder:
        placement = Placement(Path(folder))
        os.environ |= {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": "admin"}
        os.environ |= {"OS_ENDPOINT": placement.url}
        try:
            asyncio.run(run(placement, count))
        finally:
            placement.stop()


if __name__ == "__main__":
    main()
