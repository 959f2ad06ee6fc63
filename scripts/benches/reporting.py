"""What reports cost: memory of Redis, the time to count events, and what they add to an event."""

from __future__ import annotations

import time
from functools import partial
from random import Random
from typing import Any

from benches import kit
from benches.kit import Figure, Size
from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import (
    ALL,
    KEPT,
    LENGTHS,
    REST,
    ReportState,
    Tally,
    owner_group,
    size_group,
    step_at,
)
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from rq_broker.worker.reporter import Reporter

TYPE = "vm"
KINDS = {"5 owners, 4 sizes, 2 resources": (5, 4, 2), "50 owners, all sizes, 4": (50, 9, 4)}
"""What a year of hours and days has in each of them → owners, size classes, resources."""


def reports(size: Size) -> list[Figure]:
    """Memory of a type's whole report, and events counted a second by one notifier."""
    figures = []
    for name, of_each in KINDS.items():
        with kit.store() as server:
            before = _used(server)
            steps = kit.run(server.url, partial(_fill, of_each=of_each))
            figures.append(
                Figure(
                    f"reports: {name}", f"{(_used(server) - before) / 1e6:.1f} MB", f"{steps} steps"
                )
            )
    with kit.store() as server:
        events = size.of(9000, 3000)
        seconds = kit.run(server.url, lambda broker: _count(broker, events))
        with kit.plain(server) as client:
            usage: Any = client.memory_usage(Keys(TYPE).of("events"), samples=0)
        figures.append(Figure("reports: events counted", f"{events / seconds:,.0f}/s"))
        figures.append(Figure("reports: an event in the stream", f"{usage / events:.0f} bytes"))
    return figures


async def _fill(broker: Broker, of_each: tuple[int, int, int]) -> int:
    """Write every step that is kept, each group in each."""
    rng, head = Random(1), await broker.report_state(TYPE)
    owners, sizes, resources = of_each

    def sums() -> Sums:
        held = {f"RESOURCE_{number}": round(rng.random() * 1e7, 3) for number in range(resources)}
        waits = {bucket: rng.randrange(1, 500) for bucket in range(1, 14)}
        submitted, granted, done = (rng.randrange(1, 1000) for _ in range(3))
        return Sums(submitted, granted, 9, done, 99, 99, rng.random() * 1e6, waits, held)

    steps = [
        step_at(kind, head.now - number * length)
        for kind, length in LENGTHS.items()
        for number in range(KEPT[kind] // length)
    ]
    names = [ALL, REST, *(owner_group(f"owner-{number:04}") for number in range(owners))]
    names += [size_group(number - 4) for number in range(sizes)]
    for step in steps:
        tally, level = Tally(), dict.fromkeys(sums().held, 1234567.125)
        tally.sums[step] = {name: sums() for name in names}
        tally.levels[step] = Level(3600.0, 0.0, level, level, level, level, 1e5)
        known = await broker.report_state(TYPE)
        await broker.roll_up(TYPE, known, ReportState(cursor=step.name), tally)
    return len(steps)


async def _count(broker: Broker, events: int) -> float:
    """Write events of jobs' lives, and count them; returns seconds."""
    key = Keys(TYPE).of("events")
    for number in range(events):
        word, before = (("queued", ""), ("granted", "queued"), ("done", "running"))[number % 3]
        times = ("", "1234", "") if word == "granted" else ("", "", "56789")
        waited, held = (times[1], "") if word == "granted" else ("", times[2] * (word == "done"))
        counted = ("-2", "Memory/8192\nVCPU/4") if word != "queued" else ("", "")
        await broker.runner.command(
            "XADD", key, "*", "request_id", f"job-{number // 3}", "id", number // 3 + 1, "status",
            word, "from", before, "owner", f"lab-{number % 7}", "by", "", "waited", waited, "held",
            held, "size", counted[0], "amounts", counted[1],
        )  # fmt: skip
    started = time.perf_counter()
    while await Reporter(broker, TYPE).run_once() == 0:
        pass
    return time.perf_counter() - started


def _used(server: Server) -> int:
    with kit.plain(server) as client:
        return int(client.info("memory")["used_memory"])
