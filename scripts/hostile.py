"""Measure what hostile receivers cost the healthy ones: `hostile.py [ROUNDS]` (3), a table.

A round: a redis-server, one `rq-broker notifier` and healthy destinations that get a steady trickle
of grants: alone; beside a crowd of jobs for kind receivers; beside as many for every hostile one
there is and 1,000 dead names, as they come; and while they stay, with some that are called first.
The notifier is the command itself, told which name server to ask and which authority to trust.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from gzip import compress
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

from bench import table
from benches import kit, raw
from benches.kit import Figure

sys.path.insert(0, str(Path(__file__).parent.parent))
from rq_broker import cli
from rq_broker.api.submit import submission
from rq_broker.delivery.http import sender
from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import Keys
from tests.authorities import Authority
from tests.name_servers import name_server
from tests.receivers import Behaviour, endless, receiver, responding, sending

RATE = 60
"""Grants a second to healthy destinations."""
QUIET_S, COME_S, STAY_S = 5.0, 2.0, 8.0
"""Seconds of a round: alone; while a crowd comes, twice; and while the hostile one stays."""
DEAD = 1000
OWED = 60
"""Callbacks each hostile receiver is owed when it comes."""
REFILL = 2
"""Further ones a second to each, as some of them end their jobs at once."""
KEYS = Keys(kit.TYPE)
HEALTHY = 4

HEAD = b"HTTP/1.1 200 OK\r\n"
GARBAGE = bytes(range(256)) * 40


def villains() -> dict[str, Behaviour]:
    """Build the behaviours that need no certificate and no name of their own."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(0.05)
        writer.transport.abort()

    return {
        "slow-loris headers": endless(HEAD, b"X-A: b\r\n", 0.2),
        "slow-loris body": endless(HEAD + b"Content-Length: 9999\r\n\r\n", b"x", 0.2),
        "endless body": endless(HEAD + b"\r\n", b"x" * 65536),
        "gzip bomb": responding(200, "Content-Encoding: gzip", body=compress(bytes(10 * 2**20))),
        "302 to metadata": responding(302, "Location: http://169.254.169.254/latest/"),
        "reset mid-body": reset,
        "accept, then silence": endless(b"", b"", 60.0),
        "200 with garbage": responding(200, "Content-Type: application/json", body=GARBAGE),
        "garbage": sending(GARBAGE, close=True),
    }


def names() -> Callable[[str], list[str] | None]:
    """Build what the name server answers: good names, one that rebinds, and dead ones.

    Half of the dead have no address, half get no answer at all.
    """
    turn = count()

    def answer(name: str) -> list[str] | None:
        if name == "rebind.test":
            return [("169.254.169.254", "169.254.169.254", "127.0.0.1")[next(turn) % 3]]
        if name.endswith(".test"):
            return ["127.0.0.1"]
        return [] if int(name[4 : name.index(".")]) % 2 else None

    return answer


# The processes


async def _serve(folder: Path) -> None:
    authority = Authority(folder)
    (folder / "authority.pem").write_bytes(authority.pem)
    expired = authority.server_context("expired.test", valid_for=timedelta(days=-1))
    async with AsyncExitStack() as stack:
        where = {}
        for name, manner in villains().items():
            where[name] = (await stack.enter_async_context(receiver(manner))).url()
        good = responding(200)
        for name, host, tls in (
            ("TLS, wrong name", "wrong.test", authority.server_context("other.test")),
            ("TLS, expired", "expired.test", expired),
        ):
            there = await stack.enter_async_context(receiver(good, tls))
            where[name] = there.url(host, scheme="https")
        there = await stack.enter_async_context(receiver(good))
        where["rebinding name"] = there.url("rebind.test")
        server = await stack.enter_async_context(name_server(names()))
        (folder / "new").write_text(json.dumps({"names": server.address, "urls": where}))
        (folder / "new").rename(folder / "where")
        await asyncio.Event().wait()


def serve(folder: str) -> None:
    """Be every hostile receiver, and the name server; says where in a file."""
    asyncio.run(_serve(Path(folder)))


def notify(nameserver: str, authority: str, *args: str) -> None:
    """Be `rq-broker notifier`, on a machine with this name server and this authority."""
    os.environ["SSL_CERT_FILE"] = authority
    sender.CaresResolver = functools.partial(sender.CaresResolver, nameservers=[nameserver])
    cli.main(["notifier", *args])


def _role(*args: object) -> tuple[str, ...]:
    return (sys.executable, __file__, *map(str, args))


# What is measured


@dataclass
class Healthy:
    """The healthy destinations: which callbacks came, and when."""

    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(HEALTHY)])
    came: dict[str, float] = field(default_factory=dict)
    """Name of the job → when its callback came, seconds since 1970."""

    def callback(self, number: int) -> str:
        """Build a job's callback; half of them go to a name."""
        there = number % HEALTHY
        host = f"fine{there}.test" if there % 2 else "127.0.0.1"
        return f"http://{host}:{self.ports[there]}/"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        loop, done = asyncio.get_running_loop(), raw.answer()

        def answer(head: bytes, _: bytes) -> bytes:
            self.came.setdefault(head.split(b" ", 2)[1].decode()[1:], time.time())
            return done

        made = [
            await loop.create_server(lambda: raw.Serving(answer), "127.0.0.1", port)
            for port in self.ports
        ]
        yield
        for each in made:
            each.close()


@dataclass
class Round:
    """What one round showed."""

    times: dict[str, list[float]]
    """Phase → seconds from grant to callback at healthy destinations."""
    memory: dict[str, int]
    """When → bytes of the notifier."""
    state: str
    """What the broker says of its destinations at the end."""
    causes: dict[str, Counter[str]]
    """Behaviour → what came of the attempts."""


async def submit(broker: Broker, name: str, callback: str) -> None:
    body = {
        "request_id": name,
        "owner_id": kit.OWNER,
        "data": {"instances": [{"VCPU": 1}]},
        "callback": f"{callback}{name}",
    }
    await broker.submit(kit.TYPE, submission(body))


async def steadily(rate: float, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it so many times a second, whatever each takes."""
    started, turn = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < started + seconds:
            group.create_task(work())
            turn += 1
            await asyncio.sleep(max(0.0, started + turn / rate - time.monotonic()))


class Stage:
    """One round's broker, receivers and notifier."""

    def __init__(self, broker: Broker, notifier: int, hostile: dict[str, str]) -> None:
        self.broker = broker
        self.notifier = notifier
        self.hostile = hostile
        self.healthy = Healthy()
        self.jobs: dict[str, list[str]] = {name: [] for name in [*hostile, "dead names"]}
        self._number = count()

    async def trickle(self, seconds: float) -> list[float]:
        """Submit to the healthy for a while; returns the seconds from grant to callback."""
        made: list[str] = []

        async def one() -> None:
            number = next(self._number)
            made.append(f"healthy{number}")
            await submit(self.broker, made[-1], self.healthy.callback(number))

        await steadily(RATE, seconds, one)
        return await self._times(self.healthy, made)

    async def newcomers(self, seconds: float) -> list[float]:
        """Once a second submit to a healthy receiver that was never called; likewise."""
        new, made = Healthy([free_port() for _ in range(int(seconds))]), list[str]()

        async def one() -> None:
            number = len(made)
            made.append(f"new{number}")
            await submit(self.broker, made[-1], f"http://127.0.0.1:{new.ports[number]}/")

        async with new.serving():
            await steadily(1.0, len(new.ports) - 0.5, one)
            return await self._times(new, made)

    async def _times(self, healthy: Healthy, made: list[str]) -> list[float]:
        """Wait for the callbacks of these jobs; returns the seconds from grant to callback."""
        async with asyncio.timeout(60):
            while not all(name in healthy.came for name in made):
                await asyncio.sleep(0.05)
        runner = self.broker.runner  # the hash is part of the contract; no verb reads `granted`
        granted = [await runner.command("HGET", KEYS.of("job", each), "granted") for each in made]
        pairs = zip(made, granted, strict=True)
        return [healthy.came[name] - int(at or 0) / 1000 for name, at in pairs]

    async def owe(self, villain: str) -> None:
        """Submit one more job for a hostile receiver."""
        name = f"job{next(self._number)}"
        self.jobs[villain].append(name)
        dead = f"http://dead{len(self.jobs[villain])}.invalid/"
        await submit(self.broker, name, f"{self.hostile.get(villain, dead)}/")

    async def owe_kind(self) -> None:
        """Submit one more job for a healthy receiver, whose callback is not looked at."""
        number = next(self._number)
        await submit(self.broker, f"kind{number}", self.healthy.callback(number))

    async def come(self, hostile: bool) -> None:
        """Have a crowd owed their callbacks, as fast as submits go."""
        turns = [name for _ in range(OWED) for name in self.hostile] + ["dead names"] * DEAD

        async def one(number: int) -> None:
            await (self.owe(turns[number]) if hostile else self.owe_kind())

        await kit.fan(range(len(turns)), 16, one)

    async def stay(self, seconds: float) -> None:
        """Keep the hostile busy."""
        await asyncio.gather(
            *(steadily(REFILL, seconds, functools.partial(self.owe, name)) for name in self.hostile)
        )

    async def causes(self) -> dict[str, Counter[str]]:
        """Count what came of the attempts at each behaviour."""
        found = {}
        for villain, jobs in self.jobs.items():
            attempts = [await self.broker.attempts(kit.TYPE, name) for name in jobs]
            found[villain] = Counter(each.cause for one in attempts for each in one)
        return found

    async def state(self) -> str:
        """Say how many breakers are open, and whether an outage of ours is believed in."""
        outage, found = await self.broker.destinations(kit.TYPE, 10_000)
        states = Counter(each.state for each in found)
        shown = ", ".join(f"{number} {state}" for state, number in states.most_common())
        return f"{shown}{', outage' if outage else ''}"

    async def play(self) -> Round:
        """Measure each phase in turn."""
        await self.broker.set_host(kit.TYPE, Host("h", {"VCPU": 10**9}))
        times, memory = {}, {}
        async with self.healthy.serving():
            await self.trickle(1.5)  # first looks, first connections
            times["quiet"] = await self.trickle(QUIET_S)
            times["crowd comes"], _ = await asyncio.gather(self.trickle(COME_S), self.come(False))
            memory["before"] = kit.resident(self.notifier)
            times["hostile come"], _ = await asyncio.gather(self.trickle(COME_S), self.come(True))
            times["hostile stay"], times["newcomers"], _, most = await asyncio.gather(
                self.trickle(STAY_S),
                self.newcomers(STAY_S),
                self.stay(STAY_S),
                self._watch(STAY_S),
            )
            state = await self.state()
        memory |= {"at most": most, "at the end": kit.resident(self.notifier)}
        memory["ever"] = kit.resident(self.notifier, "VmHWM")
        return Round(times, memory, state, await self.causes())

    async def _watch(self, seconds: float) -> int:
        ends, most = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            most = max(most, kit.resident(self.notifier))
            await asyncio.sleep(0.2)
        return most


@contextmanager
def staged() -> Iterator[tuple[Server, int, dict[str, str]]]:
    """Start redis-server, receivers and notifier."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(kit.store())
        stack.enter_context(kit.process(*_role("serve", folder)))
        kit.until((folder / "where").exists, "the hostile receivers")
        where: dict[str, Any] = json.loads((folder / "where").read_text())
        options = ("--redis", server.url, "--type", kit.TYPE, *kit.ALLOW_LOOPBACK)
        command = _role("notify", where["names"], folder / "authority.pem", *options)
        notifier = stack.enter_context(kit.process(*command))
        kit.until_blocked(server, 1)
        yield server, notifier, where["urls"]


def one_round() -> Round:
    """Play one round."""
    with staged() as (server, notifier, urls):
        played: Round = kit.run(server.url, lambda broker: Stage(broker, notifier, urls).play())
    return played


def p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


def figures(rounds: list[Round]) -> list[Figure]:
    """Build the table's lines."""
    lines = []
    for number, each in enumerate(rounds, 1):
        for phase, times in each.times.items():
            lines.append(Figure(f"round {number}: {phase}", kit.spread(times)))
        shown = ", ".join(f"{size / 2**20:.0f} MiB {when}" for when, size in each.memory.items())
        lines.append(Figure(f"round {number}: notifier's memory", shown))
        lines.append(Figure(f"round {number}: destinations", each.state))
    for phase, other in (("hostile come", "crowd comes"), ("hostile stay", "quiet")):
        ratios = [p99(each.times[phase]) / p99(each.times[other]) for each in rounds]
        lines.append(kit.rated(f"p99: {phase}, {other}", "", ratios, most=2.0))
    growth = [each.memory["ever"] / each.memory["before"] for each in rounds]
    return [*lines, kit.rated("memory: ever, before", "", growth)]


def main(rounds: int) -> None:
    played = [one_round() for _ in range(rounds)]
    print(table(figures(played)))
    print("\nwhat came of the attempts at the hostile, all rounds:")
    for villain in played[0].causes:
        causes = sum((each.causes[villain] for each in played), Counter[str]())
        print(f"  {villain:22}", ", ".join(f"{c} {n}" for c, n in causes.most_common()) or "none")


ROLES = {"serve": serve, "notify": notify}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
