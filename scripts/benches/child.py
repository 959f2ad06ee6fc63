"""Processes that a benchmark starts beside rq-broker's own: `python -m benches.child ROLE …`."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import orjson
import uvicorn
import uvloop
from faulting.listener import Listener
from standins.authorities import Authority
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benches import kit, raw
from benches.dialling import TRUSTED
from benches.waiting import opened
from rq_broker.admission.granter import Granter
from rq_broker.api import create_app
from rq_broker.api.request_body import read as read_body
from rq_broker.api.responses import ok
from rq_broker.api.submit import submission
from rq_broker.cli.access import authenticators_of
from rq_broker.cli.process import raised_descriptor_limit
from rq_broker.cli.serving import lifespan, server_options
from rq_broker.delivery.message import message_body
from rq_broker.domain import exact_json as jsontext
from rq_broker.domain.jobs import Job, Status, Submission
from rq_broker.egress.rules import Egress
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker, Wake
from rq_broker.store.connection import connect
from rq_broker.store.keys import Keys
from rq_broker.worker.loop import Loop

_CONNECTIONS = 16
_SHAPE = submission(kit.body(0)).shape
_BODY = orjson.dumps(kit.body(0)).decode()
_IN_FLIGHT, _SHARED = 16, 8
"""Submits in flight, and how many of them a script then takes."""
_WRITES = (Path(__file__).parent / "writes.lua").read_text()


def api(url: str, port: str, *settings: str) -> None:
    """Serve the API with its no-op route, as one uvicorn worker, with settings as `NAME=TEXT`."""
    chosen = dict(setting.split("=", 1) for setting in settings)
    uvicorn.Server(api_config(url, int(port), **chosen)).run()


def api_config(url: str, port: int, **chosen: Any) -> uvicorn.Config:
    """Build the API as the command `api` does, with its no-op route."""
    settings, broker = Settings(port=port, **chosen), Broker(connect(url))
    app = create_app(
        broker,
        egress=Egress.of(allow=["127.0.0.0/8"]),
        authenticators=authenticators_of(settings, broker),
        noop=True,
        lifespan=lifespan(settings),
    )

    async def asking(request: Request) -> Response:
        await ask(broker, 0, (await read_body(request)).decode())
        return ok({})

    app.router.routes.append(Route("/asking", asking, methods=["POST"]))
    return uvicorn.Config(app, log_level="warning", **server_options(settings))


def load(port: str, path: str, first: str, count: str, header: str = "") -> None:
    """Post submits, 16 at once, or the same bodies to another path; prints requests a second."""
    numbers = range(int(first), int(first) + int(count))
    requests = [raw.post(path, orjson.dumps(kit.body(number)), header) for number in numbers]
    seconds = uvloop.run(raw.send(int(port), iter(requests), _CONNECTIONS))
    print(len(requests) / seconds)


def submit(url: str, count: str) -> None:
    """Submit, 16 in flight, after a warm-up; prints jobs a second, CPU µs a job."""
    _call(url, count, submit_trusted)


def asks(url: str, count: str) -> None:
    """Do the same with calls that do no work."""
    _call(url, count, ask)


def _call(url: str, count: str, call: Callable[[Broker, int], Awaitable[None]]) -> None:
    async def work(broker: Broker) -> tuple[float, float]:
        numbered = partial(call, broker)
        await kit.fan(range(10_000_000, 10_002_000), _IN_FLIGHT, numbered)
        started, used = time.perf_counter(), time.process_time()
        await kit.fan(range(int(count)), _IN_FLIGHT, numbered)
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        return int(count) / seconds, cpu / int(count) * 1e6

    print(json.dumps(kit.run(url, work)))


def writes(url: str, count: str) -> None:
    """Write what a submit leaves behind, jobs as many a script as submits share, and check nothing.

    Prints jobs a second.
    """
    numbers = range(0, int(count), _SHARED)
    texts = {n: [text for at in range(_SHARED) for text in _texts(n + at)] for n in numbers}

    async def work(broker: Broker) -> float:
        script = await broker.runner.command("SCRIPT", "LOAD", _WRITES)
        base = Keys(kit.TYPE).base

        async def write(number: int) -> None:
            await broker.runner.command("EVALSHA", script, 1, base, number, *texts[number])

        started = time.perf_counter()
        await kit.fan(numbers, _IN_FLIGHT // _SHARED, write)
        return int(count) / (time.perf_counter() - started)

    print(json.dumps([kit.run(url, work)]))


def _texts(number: int) -> tuple[str, str, str]:
    job = trusted(number)
    return job.request_id, job.callback or "", job.data


def submit_many(url: str, first: str, count: str) -> None:
    """Submit in batches, some in flight, of bodies read before; prints jobs a second."""
    numbers = range(int(first), int(first) + int(count), kit.BATCH)
    batches = {n: [trusted(n + at) for at in range(kit.BATCH)] for n in numbers}

    async def work(broker: Broker) -> float:
        async def submit_batch(number: int) -> None:
            await broker.submit_many(kit.TYPE, batches[number])

        await broker.ping()
        started = time.perf_counter()
        await kit.fan(numbers, kit.BATCHES, submit_batch)
        return int(count) / (time.perf_counter() - started)

    print(kit.run(url, work))


async def ask(broker: Broker, number: int, text: str = _BODY) -> None:
    """Let Redis run a script that does nothing with a job's text: the least that stores one."""
    await broker.runner.command("EVAL", "return 1", 1, Keys(kit.TYPE).base, number, text)


async def submit_trusted(broker: Broker, number: int) -> None:
    """Submit one job as a trusted service."""
    await broker.submit(kit.TYPE, trusted(number))


def trusted(number: int) -> Submission:
    """Build a submission as a trusted service: its data is rendered, nothing is validated."""
    job = kit.body(number)
    data = jsontext.dumps(job["data"])
    return Submission(job["request_id"], job["owner_id"], data, job["callback"], _SHAPE)


def sink(*ports: str) -> None:
    """Answer 200 to every POST.

    GET /stats returns their count, distinct paths and seconds; /arrivals each path's first time.
    """
    paths: dict[bytes, float] = {}
    times = [0.0, 0.0]
    count = itertools.count(1)
    last = 0

    def respond(head: bytes, _: bytes) -> bytes:
        nonlocal count, last
        if head.startswith(b"GET /arrivals"):
            times_by_path = {path.split()[1].decode(): time for path, time in paths.items()}
            return raw.answer(orjson.dumps(times_by_path))
        if head.startswith(b"GET"):
            stats = raw.answer(orjson.dumps([last, len(paths), times[1] - times[0]]))
            if head.startswith(b"GET /reset"):
                count, last = itertools.count(1), 0
                paths.clear()
            return stats
        last = next(count)
        times[1] = time.perf_counter()
        if last == 1:
            times[0] = times[1]
        paths.setdefault(head[: head.index(b"\r\n")], time.time())
        return done

    done = raw.answer()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for port in map(int, ports):
            await loop.create_server(lambda: raw.Serving(respond), "127.0.0.1", port)
        await asyncio.Event().wait()

    uvloop.run(serve())


def tls_sink(port: str, folder: str) -> None:
    """Answer 200 over TLS to one POST a connection; writes whom to trust into the folder."""
    authority = Authority(Path(folder))
    (Path(folder) / TRUSTED).write_bytes(authority.pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(done)

    async def work() -> None:
        await Listener(serve).start(int(port), tls=authority.server_context("127.0.0.1"))
        await asyncio.Event().wait()

    done = raw.answer()
    uvloop.run(work())


def bare(count: str, in_flight: str, *ports: str) -> None:
    """Post the bodies of callbacks with aiohttp and nothing else; prints the seconds it took."""
    job = Job(1, kit.TYPE, "", kit.OWNER, submission(kit.body(0)).data, "", 1,
              Status.GRANTED, 1, 1, hosts=("host1",), fence=1)  # fmt: skip
    content = message_body(job, datetime.now(UTC))
    headers = {"Content-Type": "application/json"}

    async def work() -> float:
        connector = aiohttp.TCPConnector(limit=int(in_flight))
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def post(number: int) -> None:
                url = f"http://127.0.0.1:{ports[number % len(ports)]}/cb/{number:08d}"
                async with session.post(url, data=content) as response:
                    await response.read()

            started = time.perf_counter()
            await kit.fan(range(int(count)), int(in_flight), post)
            return time.perf_counter() - started

    print(uvloop.run(work()))


def granter(url: str) -> None:
    """Grant whenever woken, like a notifier, without calling back."""

    async def work(broker: Broker) -> None:
        granting = Granter(broker, kit.TYPE)

        async def step() -> None:
            await granting.run_once()

        async def beat() -> float:
            await broker.beat("bench")
            return 1.0

        def heard(wake: Wake) -> None:
            if wake.marker == "grant":
                loop.wake()

        loop = Loop("granter", step)
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.run())
            group.create_task(Loop("beat", beat).run())
            await broker.listen("bench", heard, loop.wake)

    kit.run(url, work)


def follow(port: str, path: str, count: str) -> None:
    """Open so many streams, print a line once all are answered, and read until the end."""

    async def work() -> None:
        streams = await opened(int(port), [path] * int(count))
        await asyncio.gather(*(stream.answered for stream in streams))
        print("open", flush=True)
        await asyncio.Event().wait()

    raised_descriptor_limit()
    uvloop.run(work())


def read(url: str) -> None:
    """Read an answer to its end."""
    with urlopen(url) as answer:
        while answer.read(1 << 20):
            pass


ROLES = {
    role.__name__: role
    for role in (
        *(api, load, submit, asks, writes, submit_many),
        *(sink, tls_sink, bare, granter, follow, read),
    )
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
