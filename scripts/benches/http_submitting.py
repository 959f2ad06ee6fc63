"""The rate of submits over HTTP, against what a user would build instead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from benches import kit, peers
from benches.kit import Figure, Size
from rq_broker.store.embedded import Server, free_port


@dataclass(frozen=True, slots=True)
class Target:
    """A route of a process that serves HTTP."""

    pid: int
    port: int
    path: str
    header: str = ""
    """One more line of the head of each request."""

    def load(self, numbers: Iterator[int], count: int) -> list[float]:
        """Post jobs, 16 at once; returns requests a second, and the server's CPU µs a request."""
        used = kit.cpu(self.pid)
        role = kit.role("load", self.port, self.path, next(numbers), count, self.header)
        rate = kit.measured(*role)
        return [rate, (kit.cpu(self.pid) - used) / count * 1e6]


def http_submit(size: Size) -> list[Figure]:
    """One process and 16 connections each: our submits, a no-op of the same app, and peers.

    How near to the no-op any app of ours may come that stores something, is told by one more route:
    it lets Redis run a script that does nothing.
    """
    wanted = {"a no-op": 0.6, "Fastify + BullMQ": 0.75, "FastAPI + Celery": 2.0, "FastAPI + arq": 2}
    count = size.of(8000, 4000)
    numbers = itertools.count(0, count)
    with ExitStack() as stack:
        ours = serve_ours(stack, stack.enter_context(kit.store()))
        noop = Target(ours.pid, ours.port, "/noop")
        asking = Target(ours.pid, ours.port, "/asking")
        rivals = {"a no-op": noop, **_fastify(stack), **_fastapi(stack)}
        targets = {"": ours, "asking": asking, **rivals}
        loads = [partial(t.load, numbers, count) for t in targets.values() if isinstance(t, Target)]
        kit.turns(1, *loads)  # a warm-up
        mine, asks, *others = kit.turns(size.pairs, *loads)
    figures, measured = list[Figure](), iter(others)
    for name, least in wanted.items():
        target = targets[name]
        if isinstance(target, str):
            figures.append(Figure(f"http-submit: submit, {name}", target))
        else:
            theirs = next(measured)
            figures.append(against(f"http-submit: submit, {name}", mine, theirs, least))
            figures.append(against(f"http-submit: asking Redis only, {name}", asks, theirs))
    return figures


def workers(size: Size) -> list[Figure]:
    """`rq-broker api --workers 2` against one worker, 16 connections."""
    count = size.of(8000, 4000)
    numbers = itertools.count(0, count)
    with ExitStack() as stack:
        server = stack.enter_context(kit.store())
        kit.run(server.url, lambda broker: broker.set_policy(kit.TYPE, {"queue_limits": {}}))
        loads = [partial(_workers(stack, server, amount).load, numbers, count) for amount in (2, 1)]
        kit.turns(1, *loads)  # a warm-up
        twos, ones = kit.turns(size.pairs, *loads)
    rates = [row[0] for row in twos], [row[0] for row in ones]
    least = 1.6 if kit.CORES >= kit.CORES_FOR_TWO else 0.0
    return [kit.compared(f"workers: two API workers, one; {kit.CORES} cores", *rates, least=least)]


def against(
    name: str, ours: list[list[float]], theirs: list[list[float]], least: float = 0.0
) -> Figure:
    """Build the row of two targets: their rates and the CPU of their servers."""
    (rates, cpu), (their_rates, their_cpu) = zip(*ours, strict=True), zip(*theirs, strict=True)
    shown = kit.against(list(rates), list(their_rates), "/s")
    value = f"{shown}; server CPU {median(cpu):,.0f} µs against {median(their_cpu):,.0f}"
    return kit.rated(name, value, kit.ratios(list(rates), list(their_rates)), least=least)


# What serves


def serve_ours(stack: ExitStack, server: Server, *settings: str, header: str = "") -> Target:
    """Start our API as one worker, with settings as `NAME=TEXT`."""
    port = free_port()
    pid = stack.enter_context(kit.process(*kit.role("api", server.url, port, *settings)))
    kit.until_serves(port)
    return Target(pid, port, f"/v1/{kit.TYPE}/", header)


def _workers(stack: ExitStack, server: Server, amount: int) -> Target:
    """Start the command `api`; several workers are processes below the one it starts."""
    port = free_port()
    options = ("--redis", server.url, "--port", port, "--workers", amount, *kit.LOOPBACK_ONLY)
    pid = stack.enter_context(kit.process(*kit.command("api", *options)))
    kit.until_serves(port)
    return Target(pid, port, f"/v1/{kit.TYPE}/")


def _fastify(stack: ExitStack) -> dict[str, Target | str]:
    folder, name = peers.node_peers(), "Fastify + BullMQ"
    if isinstance(folder, str):
        return {name: folder}
    server, port = stack.enter_context(kit.store()), free_port()
    command = peers.node_command("fastify.mjs", server.port, port)
    pid = stack.enter_context(kit.process(*command, cwd=folder))
    kit.until_serves(port)
    return {name: Target(pid, port, "/jobs")}


def _fastapi(stack: ExitStack) -> dict[str, Target | str]:
    """Start one API for each queue on Python."""
    targets: dict[str, Target | str] = {}
    for name, queue in {"FastAPI + Celery": "celery", "FastAPI + arq": "arq"}.items():
        folder = peers.python_peer(queue)
        if isinstance(folder, str):
            targets[name] = folder
            continue
        server, port = stack.enter_context(kit.store()), free_port()
        command = kit.script("benches.peer_api", queue, server.url, port)
        packages = {"PYTHONPATH": str(folder)}
        pid = stack.enter_context(kit.process(*command, environment=packages))
        kit.until_serves(port)
        targets[name] = Target(pid, port, "/jobs")
    return targets
