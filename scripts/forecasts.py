"""How true are the ETAs: real processes, a seeded load, and each waiting job asked about once.

usage: forecasts.py [--seconds 270] [--seed 1] [--load 0.9] [--patience S]
One API and one notifier on a Redis of their own; Poisson arrivals, lognormal holding times. Prints
how often a callback came within the p50 and the p90 told before, per size, and what is served.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

import aiohttp
import uvloop
from benches import kit
from benches.latency import Receiver

from rq_broker.store.embedded import Server, free_port

HOSTS, CPUS = 2, 4
SIZES = {"1 VCPU": [1], "2 VCPU": [2], "gang": [2, 2, 2]}
PARTS = (0.75, 0.2, 0.05)
"""How often each size comes."""
MEAN_HOLD, SIGMA = 1.0, 0.8
"""Seconds."""
WARM_UP = 10.0
"""Seconds until asking begins: there must be a history."""


@dataclass(frozen=True, slots=True)
class Told:
    """An ETA as it was told: the job's size, seconds from then on, when, and how long it took."""

    size: str
    p50: float
    p90: float
    at: float
    took: float


class Load:
    """Submits, asks, holds and gives back, and remembers what was told and what came."""

    def __init__(
        self, http: aiohttp.ClientSession, api: int, sink: int, options: argparse.Namespace
    ) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{api}"
        self._callback = f"http://127.0.0.1:{sink}/cb/"
        self._rng = Random(options.seed)
        self._seconds = options.seconds
        mean_size = sum(part * sum(size) for part, size in zip(PARTS, SIZES.values(), strict=True))
        self._rate = options.load * HOSTS * CPUS / (mean_size * MEAN_HOLD)
        self._holds: dict[str, float] = {}
        self.told: dict[str, Told] = {}
        self.came: dict[str, float] = {}
        self.silent = 0
        """Waiting jobs for which no p90 was told."""
        self.served: dict[str, int] = {}

    async def prepare(self, patience: float | None) -> None:
        """Publish the hosts, and say how the type is run."""
        for number in range(HOSTS):
            await self._ask("PUT", f"/types/vm/hosts/h{number}", {"capacity": {"VCPU": CPUS}})
        await self._ask("PUT", "/types/vm", {"patience": patience})

    async def run(self, receiver: Receiver) -> None:
        """Let jobs arrive until the time is over, and all of them have been called back."""
        started, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear(receiver, group))
            due = started
            while due < started + self._seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._arrive(number, due > started + WARM_UP))
                number += 1
                due += self._rng.expovariate(self._rate)
            while len(self.came) < number:
                await asyncio.sleep(0.1)
            hearing.cancel()

    async def _arrive(self, number: int, ask: bool) -> None:
        size = self._rng.choices(list(SIZES), PARTS)[0]
        data = {"instances": [{"VCPU": amount} for amount in SIZES[size]]}
        body = kit.body(number, self._callback, data=data)
        name = body["request_id"]
        self._holds[name] = self._rng.lognormvariate(log(MEAN_HOLD) - SIGMA**2 / 2, SIGMA)
        await self._ask("POST", "/v1/vm", body)
        if ask:
            await self._explain(name, size)

    async def _explain(self, name: str, size: str) -> None:
        asked = time.perf_counter()
        answer = await self._ask("GET", f"/v1/vm/{name}/explain")
        if answer is None:
            return
        eta, self.served = answer["eta"], answer["eta_accuracy"]
        if eta["p90"] is None:
            self.silent += 1
        else:
            now = time.perf_counter()
            self.told[name] = Told(size, eta["p50"], eta["p90"], now, now - asked)

    async def _hear(self, receiver: Receiver, group: asyncio.TaskGroup) -> None:
        while True:
            name, at = await receiver.next()
            self.came[name] = at
            group.create_task(self._hold(name))

    async def _hold(self, name: str) -> None:
        await asyncio.sleep(self._holds[name])
        await self._ask("POST", f"/v1/vm/{name}", {"status": "done"})

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API; None where the job does not wait any more."""
        async with self._http.request(method, self._base + path, json=body) as answer:
            said = await answer.json()
        if not said["ok"] and said["code"] != "not_waiting":
            raise RuntimeError(f"{method} {path}: {said}")
        return said.get("data")


def report(load: Load) -> str:
    """Render how many forecasts held, in all and by size."""
    waits = [(told, load.came[name] - told.at) for name, told in load.told.items()]
    lines = [line("all", waits)]
    lines += [line(size, [each for each in waits if each[0].size == size]) for size in SIZES]
    strict = sum(wait + told.took <= told.p90 for told, wait in waits) / len(waits)
    took = kit.spread([told.took for told, _ in waits])
    lines.append(f"answers took {took}; counted from the question on, {strict:.1%} within p90")
    lines.append(f"served at the end: {load.served}; jobs told no p90: {load.silent}")
    return "\n".join(lines)


def line(label: str, waits: list[tuple[Told, float]]) -> str:
    """Render what came of some forecasts: seconds from the answer to the callback, against told."""
    if not waits:
        return f"{label:>7}: none"
    p50 = sum(wait <= told.p50 for told, wait in waits) / len(waits)
    p90 = sum(wait <= told.p90 for told, wait in waits) / len(waits)
    mean = sum(wait for _, wait in waits) / len(waits)
    held = f"{p50:.1%} within p50, {p90:.1%} within p90"
    return f"{label:>7}: {len(waits)} forecasts, {held}, mean wait {mean:.2f} s"


@asynccontextmanager
async def processes(server: Server, api: int) -> AsyncIterator[None]:
    """Run an API and a notifier."""
    with ExitStack() as stack:
        for words in (("api", "--port", api), ("notifier",)):
            command = kit.command(*words, "--redis", server.url, *kit.ALLOW_LOOPBACK)
            stack.enter_context(kit.process(*command))
        await asyncio.to_thread(kit.until_serves, api)
        yield


async def main(options: argparse.Namespace) -> None:
    """Run the load and print the report."""
    api, sink, receiver = free_port(), free_port(), Receiver()
    with kit.store() as server:
        async with processes(server, api), aiohttp.ClientSession() as http:
            serving = await receiver.serve(sink)
            load = Load(http, api, sink, options)
            await load.prepare(options.patience)
            await load.run(receiver)
            serving.close()
    print(report(load))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=270.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=float, default=0.9, help="offered part of the hosts")
    parser.add_argument("--patience", type=float, default=5.0)
    uvloop.run(main(parser.parse_args()))
