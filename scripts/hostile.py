"""Measure what hostile receivers cost the healthy ones: `hostile.py [ROUNDS]` (3), a table.

Each round starts a redis-server and an `rq-broker notifier`, and grants steadily to healthy
receivers: alone; while a burst of callbacks to healthy receivers falls due; while a burst as large
to hostile receivers and 1,000 dead names does; while these stay and new healthy receivers appear.
The notifier asks a name server of the benchmark and trusts its certificate authority.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import table
from benches import kit, raw
from benches.kit import Figure

from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import Keys

RATE = 60
"""Grants a second to healthy destinations."""
QUIET_S, BURST_S, STAY_S = 5.0, 2.0, 8.0
"""Seconds of the phases: alone, each burst, and while the hostile receivers stay."""
DEAD_NAMES = 1000
BURST_CALLBACKS = 60
"""Callbacks for each hostile receiver in its burst."""
REFILL_RATE = 2
"""Callbacks a second for each hostile receiver after its burst, as some end their jobs at once."""
KEYS = Keys(kit.TYPE)
HEALTHY_DESTINATIONS = 4


@dataclass
class HealthyReceivers:
    """Healthy destinations, and when their callbacks arrived."""

    ports: list[int] = field(
        default_factory=lambda: [free_port() for _ in range(HEALTHY_DESTINATIONS)]
    )
    arrivals: dict[str, float] = field(default_factory=dict)
    """request_id → when its callback arrived, in seconds since 1970."""

    def callback(self, number: int) -> str:
        """Build a job's callback; half of the destinations are called by name."""
        index = number % HEALTHY_DESTINATIONS
        host = f"fine{index}.test" if index % 2 else "127.0.0.1"
        return f"http://{host}:{self.ports[index]}/"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve on all ports."""
        loop, response = asyncio.get_running_loop(), raw.answer()

        def respond(head: bytes, _: bytes) -> bytes:
            request_id = head.split(b" ", 2)[1].decode().removeprefix("/")
            self.arrivals.setdefault(request_id, time.time())
            return response

        servers = [
            await loop.create_server(lambda: raw.Serving(respond), "127.0.0.1", port)
            for port in self.ports
        ]
        yield
        for server in servers:
            server.close()


@dataclass
class Round:
    """The figures of one round."""

    times: dict[str, list[float]]
    """Phase → seconds from grant to callback at healthy destinations."""
    memory: dict[str, int]
    """Moment → bytes of the notifier."""
    destinations: str
    """How many destinations are in which state at the end."""
    causes: dict[str, Counter[str]]
    """Hostile behaviour → how its attempts ended."""


async def submit(broker: Broker, request_id: str, callback: str) -> None:
    """Submit a job whose callback ends in its request_id."""
    body = {
        "request_id": request_id,
        "owner_id": kit.OWNER,
        "data": {"instances": [{"VCPU": 1}]},
        "callback": f"{callback}{request_id}",
    }
    await broker.submit(kit.TYPE, submission(body))


async def steadily(
    rate: float, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Begin `work` at a steady rate, however long each takes."""
    started, begun = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < started + seconds:
            group.create_task(work())
            begun += 1
            await asyncio.sleep(max(0.0, started + begun / rate - time.monotonic()))


class Stage:
    """The broker, receivers and notifier of one round."""

    def __init__(self, broker: Broker, notifier: int, hostile_urls: dict[str, str]) -> None:
        self.broker = broker
        self.notifier = notifier
        self.hostile_urls = hostile_urls
        self.healthy = HealthyReceivers()
        self.hostile_jobs: dict[str, list[str]] = {
            behaviour: [] for behaviour in [*hostile_urls, "dead names"]
        }
        self._numbers = count()

    async def submit_steadily(self, seconds: float) -> list[float]:
        """Submit to healthy destinations; returns the seconds from grant to callback."""
        request_ids: list[str] = []

        async def submit_one() -> None:
            number = next(self._numbers)
            request_ids.append(f"healthy{number}")
            await submit(self.broker, request_ids[-1], self.healthy.callback(number))

        await steadily(RATE, seconds, submit_one)
        return await self._callback_times(self.healthy, request_ids)

    async def submit_to_new(self, seconds: float) -> list[float]:
        """Submit once a second to a healthy destination that was never called; as above."""
        new = HealthyReceivers([free_port() for _ in range(int(seconds))])
        request_ids: list[str] = []

        async def submit_one() -> None:
            port = new.ports[len(request_ids)]
            request_ids.append(f"new{len(request_ids)}")
            await submit(self.broker, request_ids[-1], f"http://127.0.0.1:{port}/")

        async with new.serving():
            await steadily(1.0, len(new.ports) - 0.5, submit_one)
            return await self._callback_times(new, request_ids)

    async def _callback_times(
        self, receivers: HealthyReceivers, request_ids: list[str]
    ) -> list[float]:
        """Wait for the callbacks of these jobs; returns the seconds since their grants."""
        async with asyncio.timeout(60):
            while not all(request_id in receivers.arrivals for request_id in request_ids):
                await asyncio.sleep(0.05)
        # The hash field is part of the contract with Redis; no method reads it.
        command = self.broker.runner.command
        return [
            receivers.arrivals[request_id]
            - int(await command("HGET", KEYS.of("job", request_id), "granted") or 0) / 1000
            for request_id in request_ids
        ]

    async def submit_hostile(self, behaviour: str) -> None:
        """Submit a job for a hostile receiver, or for the next dead name."""
        request_ids = self.hostile_jobs[behaviour]
        request_ids.append(f"job{next(self._numbers)}")
        dead_url = f"http://dead{len(request_ids)}.invalid/"
        url = self.hostile_urls.get(behaviour, dead_url)
        await submit(self.broker, request_ids[-1], f"{url}/")

    async def submit_unmeasured(self) -> None:
        """Submit a job for a healthy receiver, whose callback is not measured."""
        number = next(self._numbers)
        await submit(self.broker, f"burst{number}", self.healthy.callback(number))

    async def burst(self, hostile: bool) -> None:
        """Submit jobs for all hostile receivers, or as many for healthy ones, at full speed."""
        behaviours = [name for _ in range(BURST_CALLBACKS) for name in self.hostile_urls]
        behaviours += ["dead names"] * DEAD_NAMES

        async def submit_one(number: int) -> None:
            if hostile:
                await self.submit_hostile(behaviours[number])
            else:
                await self.submit_unmeasured()

        await kit.fan(range(len(behaviours)), 16, submit_one)

    async def refill(self, seconds: float) -> None:
        """Keep each hostile receiver supplied with callbacks."""
        await asyncio.gather(
            *(
                steadily(REFILL_RATE, seconds, functools.partial(self.submit_hostile, behaviour))
                for behaviour in self.hostile_urls
            )
        )

    async def causes(self) -> dict[str, Counter[str]]:
        """Count how the attempts at each hostile behaviour ended."""
        causes = {}
        for behaviour, request_ids in self.hostile_jobs.items():
            causes[behaviour] = Counter[str]()
            for request_id in request_ids:
                attempts = await self.broker.attempts(kit.TYPE, request_id)
                causes[behaviour].update(attempt.cause for attempt in attempts)
        return causes

    async def destination_states(self) -> str:
        """Render the number of destinations in each state, and whether there is an outage."""
        is_outage, destinations = await self.broker.destinations(kit.TYPE, 10_000)
        states = Counter(destination.state for destination in destinations)
        counted = ", ".join(f"{number} {state}" for state, number in states.most_common())
        return f"{counted}{', outage' if is_outage else ''}"

    async def play(self) -> Round:
        """Measure each phase in turn."""
        await self.broker.set_host(kit.TYPE, Host("h", {"VCPU": 10**9}))
        times, memory = {}, {}
        async with self.healthy.serving():
            await self.submit_steadily(1.5)  # dials, and makes the destinations proven
            times["quiet"] = await self.submit_steadily(QUIET_S)
            times["healthy burst"], _ = await asyncio.gather(
                self.submit_steadily(BURST_S), self.burst(hostile=False)
            )
            memory["before"] = kit.resident(self.notifier)
            times["hostile burst"], _ = await asyncio.gather(
                self.submit_steadily(BURST_S), self.burst(hostile=True)
            )
            times["hostile stay"], times["new receivers"], _, most = await asyncio.gather(
                self.submit_steadily(STAY_S),
                self.submit_to_new(STAY_S),
                self.refill(STAY_S),
                self._watch_memory(STAY_S),
            )
            states = await self.destination_states()
        memory |= {"at most": most, "at the end": kit.resident(self.notifier)}
        memory["peak"] = kit.resident(self.notifier, "VmHWM")
        return Round(times, memory, states, await self.causes())

    async def _watch_memory(self, seconds: float) -> int:
        """Return the most bytes the notifier has in these seconds."""
        deadline, most = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            most = max(most, kit.resident(self.notifier))
            await asyncio.sleep(0.2)
        return most


def _child(*args: object) -> tuple[str, ...]:
    return (sys.executable, "-m", "benches.hostile_child", *map(str, args))


@contextmanager
def staged() -> Iterator[tuple[Server, int, dict[str, str]]]:
    """Start redis-server, hostile receivers and notifier; yields server, its pid, and URLs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(kit.store())
        stack.enter_context(kit.process(*_child("serve", folder)))
        kit.until((folder / "addresses").exists, "the hostile receivers")
        addresses: dict[str, Any] = json.loads((folder / "addresses").read_text())
        options = ("--redis", server.url, "--type", kit.TYPE, *kit.LOOPBACK_ONLY)
        command = _child("notify", addresses["names"], folder / "authority.pem", *options)
        notifier = stack.enter_context(kit.process(*command))
        kit.until_listening(server, 1)
        yield server, notifier, addresses["urls"]


def one_round() -> Round:
    """Play one round."""
    with staged() as (server, notifier, urls):
        played: Round = kit.run(server.url, lambda broker: Stage(broker, notifier, urls).play())
    return played


def figures(rounds: list[Round]) -> list[Figure]:
    """Build the rows of the table."""
    rows = []
    for number, played in enumerate(rounds, 1):
        for phase, times in played.times.items():
            rows.append(Figure(f"round {number}: {phase}", kit.spread(times)))
        sizes = ", ".join(f"{size / 2**20:.0f} MiB {when}" for when, size in played.memory.items())
        rows.append(Figure(f"round {number}: notifier's memory", sizes))
        rows.append(Figure(f"round {number}: destinations", played.destinations))
    for phase, baseline in (("hostile burst", "healthy burst"), ("hostile stay", "quiet")):
        ratios = [
            kit.p99_of(played.times[phase]) / kit.p99_of(played.times[baseline])
            for played in rounds
        ]
        rows.append(kit.rated(f"p99: {phase}, {baseline}", "", ratios, most=2.0))
    growth = [played.memory["peak"] / played.memory["before"] for played in rounds]
    return [*rows, kit.rated("memory: peak, before", "", growth)]


def main(rounds: int) -> None:
    played = [one_round() for _ in range(rounds)]
    print(table(figures(played)))
    print("\nhow the attempts at hostile receivers ended, in all rounds:")
    for behaviour in played[0].causes:
        causes = sum((each.causes[behaviour] for each in played), Counter[str]())
        counted = ", ".join(f"{cause} {number}" for cause, number in causes.most_common())
        print(f"  {behaviour:22}", counted or "none")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("rounds", type=int, nargs="?", default=3, help="(3)")
    main(words.parse_args().rounds)
