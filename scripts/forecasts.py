"""How true ETAs are: real processes, a seeded load, and one question about each waiting job.

usage: forecasts.py [--seconds 270] [--seed 1] [--load 0.9] [--patience S]
One API and one notifier on a Redis of their own; Poisson arrivals, lognormal holding times. Prints,
per size, how often a callback came within the forecast p50 and p90, and the type's own accuracy.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
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

HOSTS, VCPUS = 2, 4
SIZES = {"1 VCPU": [1], "2 VCPU": [2], "gang": [2, 2, 2]}
PARTS = (0.75, 0.2, 0.05)
"""How often each size occurs."""
MEAN_HOLDING_TIME, SIGMA = 1.0, 0.8
"""Seconds, and the spread of their logarithm."""
WARM_UP = 10.0
"""Seconds before the first question: a forecast needs a history."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The forecast of one job, in seconds from the answer on."""

    size: str
    p50: float
    p90: float
    answered_at: float
    duration: float
    """Seconds the answer took."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A forecast and how long the job's callback really took from the answer on."""

    answer: Answer
    wait: float


class Load:
    """Submits, asks, holds and releases; keeps the forecasts and the times of the callbacks."""

    def __init__(
        self, http: aiohttp.ClientSession, api: int, sink: int, options: argparse.Namespace
    ) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{api}"
        self._callback = f"http://127.0.0.1:{sink}/cb/"
        self._rng = Random(options.seed)
        self._seconds = options.seconds
        mean_vcpus = sum(part * sum(size) for part, size in zip(PARTS, SIZES.values(), strict=True))
        self._jobs_per_second = options.load * HOSTS * VCPUS / (mean_vcpus * MEAN_HOLDING_TIME)
        self._holding_times: dict[str, float] = {}
        self._answers: dict[str, Answer] = {}
        self._callbacks: dict[str, float] = {}
        self.without_forecast = 0
        """Waiting jobs whose answer had no p90."""
        self.accuracy: dict[str, int] = {}
        """What the type itself reported last about its forecasts."""

    def outcomes(self) -> list[Outcome]:
        """Return each forecast with what became of it."""
        return [
            Outcome(answer, self._callbacks[name] - answer.answered_at)
            for name, answer in self._answers.items()
        ]

    async def prepare(self, patience: float | None) -> None:
        """Publish the hosts and set the type's policy."""
        for number in range(HOSTS):
            await self._ask("PUT", f"/types/vm/hosts/h{number}", {"capacity": {"VCPU": VCPUS}})
        await self._ask("PUT", "/types/vm", {"patience": patience})

    async def run(self, receiver: Receiver) -> None:
        """Let jobs arrive until the time is over and all of them have been called back."""
        started, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(self._receive(receiver, group))
            due = started
            while due < started + self._seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._submit(number, ask=due > started + WARM_UP))
                number += 1
                due += self._rng.expovariate(self._jobs_per_second)
            while len(self._callbacks) < number:
                await asyncio.sleep(0.1)
            receiving.cancel()

    async def _submit(self, number: int, *, ask: bool) -> None:
        size = self._rng.choices(list(SIZES), PARTS)[0]
        data = {"instances": [{"VCPU": amount} for amount in SIZES[size]]}
        body = kit.body(number, self._callback, data=data)
        name, mu = body["request_id"], log(MEAN_HOLDING_TIME) - SIGMA**2 / 2
        self._holding_times[name] = self._rng.lognormvariate(mu, SIGMA)
        await self._ask("POST", "/v1/vm", body)
        if ask:
            await self._explain(name, size)

    async def _explain(self, name: str, size: str) -> None:
        asked_at = time.perf_counter()
        explanation = await self._ask("GET", f"/v1/vm/{name}/explain")
        if explanation is None:
            return
        eta, self.accuracy = explanation["eta"], explanation["eta_accuracy"]
        if eta["p90"] is None:
            self.without_forecast += 1
        else:
            now = time.perf_counter()
            self._answers[name] = Answer(size, eta["p50"], eta["p90"], now, now - asked_at)

    async def _receive(self, receiver: Receiver, group: asyncio.TaskGroup) -> None:
        while True:
            name, received_at = await receiver.next()
            self._callbacks[name] = received_at
            group.create_task(self._hold(name))

    async def _hold(self, name: str) -> None:
        await asyncio.sleep(self._holding_times[name])
        await self._ask("POST", f"/v1/vm/{name}", {"status": "done"})

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; returns None where the job does not wait any more."""
        async with self._http.request(method, self._base + path, json=body) as response:
            envelope = await response.json()
        if not envelope["ok"] and envelope["code"] != "not_waiting":
            raise RuntimeError(f"{method} {path}: {envelope}")
        return envelope.get("data")


def report(load: Load) -> str:
    """Render how many forecasts were kept, in all and by size."""
    outcomes = load.outcomes()
    lines = [report_line("all", outcomes)]
    for size in SIZES:
        of_size = [outcome for outcome in outcomes if outcome.answer.size == size]
        lines.append(report_line(size, of_size))
    durations = kit.spread([outcome.answer.duration for outcome in outcomes])
    from_question = part(
        outcome.wait + outcome.answer.duration <= outcome.answer.p90 for outcome in outcomes
    )
    lines.append(f"answers took {durations}; {from_question} within p90 from the question on")
    lines.append(
        f"the type's own accuracy: {load.accuracy}; without a p90: {load.without_forecast}"
    )
    return "\n".join(lines)


def report_line(label: str, outcomes: Sequence[Outcome]) -> str:
    """Render how many of some forecasts were kept."""
    if not outcomes:
        return f"{label:>7}: none"
    p50 = part(outcome.wait <= outcome.answer.p50 for outcome in outcomes)
    p90 = part(outcome.wait <= outcome.answer.p90 for outcome in outcomes)
    mean = sum(outcome.wait for outcome in outcomes) / len(outcomes)
    kept = f"{p50} within p50, {p90} within p90"
    return f"{label:>7}: {len(outcomes)} forecasts, {kept}, mean wait {mean:.2f} s"


def part(kept: Iterable[bool]) -> str:
    """Render how many of some are true, in percent."""
    values = list(kept)
    return f"{sum(values) / max(len(values), 1):.1%}"


@asynccontextmanager
async def processes(server: Server, api: int) -> AsyncIterator[None]:
    """Run an API and a notifier."""
    with ExitStack() as stack:
        for words in (("api", "--port", api), ("notifier",)):
            command = kit.command(*words, "--redis", server.url, *kit.LOOPBACK_ONLY)
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
    parser.add_argument("--seconds", type=float, default=270.0, help="of arrivals (default: 270)")
    parser.add_argument("--seed", type=int, default=1, help="of the load (default: 1)")
    parser.add_argument(
        "--load", type=float, default=0.9, help="offered part of the hosts (default: 0.9)"
    )
    parser.add_argument("--patience", type=float, default=5.0, help="seconds (default: 5)")
    uvloop.run(main(parser.parse_args()))
