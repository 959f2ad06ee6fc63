"""The command line, and the only wiring: what is built from what, in which process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson
import uvicorn
from redis.asyncio import Redis, RedisCluster
from starlette.applications import Starlette

from rq_broker import __version__
from rq_broker.api import create_app
from rq_broker.delivery.http.sender import Sender
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import BrokerError, Invalid
from rq_broker.settings import Settings
from rq_broker.sources.feeds import Feed, read_feeds
from rq_broker.store.audit import Severity
from rq_broker.store.audit import audit as audit_type
from rq_broker.store.broker import Broker
from rq_broker.store.connection import check_fit, connect, in_memory
from rq_broker.store.embedded import Server, find_server
from rq_broker.store.scripts import SCRIPTS
from rq_broker.worker.notifier import Notifier

log = logging.getLogger("rq_broker")

DEMO_TYPES = ("vm", "kube")
DEMO_HOST = Host(
    "host1", {"VCPU": 64, "Memory": 65536, "Disk": 1000}, aggregates=frozenset({"host1"})
)
STORE = Path(".rq-broker")
SWITCH_SECONDS = 0.0005
"""How soon a thread that forecasts lets requests go on; Python's own 5 ms each would feel."""
_HANDED_DOWN = "RQ_BROKER_HANDED_DOWN"
"""The variable by which `api` gives its settings to its worker processes."""


def _option(flag: str, help_: str, name: str | None = None, **more: Any) -> Any:
    name = name or flag.removeprefix("--").replace("-", "_")
    variable = f"RQ_BROKER_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, name, envvar=variable, show_envvar=True, help=help_, **more)


_OPTIONS = {
    "redis": _option("--redis", "Redis to keep the state in.", metavar="URL"),
    "host": _option("--host", "Address to serve on."),
    "port": _option("--port", "Port to serve on.", type=click.IntRange(1, 65535)),
    "workers": _option("--workers", "API processes.", type=click.IntRange(1)),
    "insecure": _option(
        "--insecure", "Serve beyond loopback without access control.", is_flag=True, default=None
    ),
    "types": _option("--type", "Serve this type only; may be said again.", "types", multiple=True),
    "callback_base": _option(
        "--callback-base", "What relative callbacks are relative to.", metavar="URL"
    ),
    "callback_allow": _option(
        "--callback-allow", "Open these to callbacks.", metavar="CIDR|HOST,…"
    ),
    "callback_deny": _option(
        "--callback-deny", "Close these to callbacks; wins over allow.", metavar="CIDR|HOST,…"
    ),
    "callback_ports": _option(
        "--callback-ports", "Call back to these ports only.", metavar="PORT,…"
    ),
    "timeout": _option(
        "--timeout", "Seconds for one callback attempt.", type=click.FloatRange(0.1, 300)
    ),
    "concurrency": _option(
        "--concurrency", "Callbacks in flight at once.", type=click.IntRange(1, 10_000)
    ),
    "source": _option("--source", "Poll the sources this file names.", metavar="FILE.toml"),
}
_LISTS = {"callback_allow": str, "callback_deny": str, "callback_ports": int}


def _with(*names: str) -> Callable[[Callable[[Settings], None]], Callable[..., None]]:
    """Give a command these options, read into Settings; said by nobody, a default stays."""

    def decorate(command: Callable[[Settings], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**said: Any) -> None:
            try:
                command(_settings(said))
            except BrokerError as error:
                raise click.ClickException(str(error)) from error

        return functools.reduce(lambda f, name: _OPTIONS[name](f), reversed(names), run)

    return decorate


def _settings(said: dict[str, Any]) -> Settings:
    fields = {name: value for name, value in said.items() if value not in (None, ())}
    for name, kind in _LISTS.items():
        if name in fields:
            try:
                fields[name] = tuple(kind(each.strip()) for each in fields[name].split(","))
            except ValueError as error:
                raise Invalid(f"--{name.replace('_', '-')}: {error}") from None
    return Settings(**fields)


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Keep requests for scarce capacity in line, and call back when it is theirs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


# Building


def app(settings: Settings, client: Redis | RedisCluster, *, dev: bool = False) -> Starlette:
    """Wire the facade to one Redis client."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return create_app(
        Broker(client),
        callback_base=settings.callback_base,
        egress=settings.egress(own_api=not dev),
        inbox=dev,
    )


def app_of_worker() -> Starlette:
    """Build the facade in a worker process, from the environment `api` left for it."""
    settings = Settings(**orjson.loads(os.environ[_HANDED_DOWN]))
    return app(settings, connect(settings.redis))


def _feeds(settings: Settings) -> Sequence[Feed]:
    return read_feeds(settings.source) if settings.source else ()


@contextlib.asynccontextmanager
async def _notifying(
    settings: Settings,
    client: Redis | RedisCluster,
    feeds: Sequence[Feed],
    *,
    dev: bool = False,
) -> AsyncIterator[Notifier]:
    async with Sender(settings.egress(own_api=not dev), timeout_s=settings.timeout) as sender:
        yield Notifier(
            Broker(client),
            sender,
            types=settings.types,
            callback_base=settings.callback_base,
            timeout=settings.timeout,
            concurrency=settings.concurrency,
            feeds=feeds,
        )


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run until SIGTERM or SIGINT, then cancel and let it finish what it has in hand."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


# Commands


@main.command()
@_with("redis", "host", "port", "workers", "insecure", "callback_base", "callback_allow",
       "callback_deny", "callback_ports")  # fmt: skip
def api(settings: Settings) -> None:
    """Serve the HTTP API."""
    settings.check_bind()
    os.environ[_HANDED_DOWN] = orjson.dumps(settings).decode()
    asyncio.run(_check(settings.redis))
    uvicorn.run(
        "rq_broker.cli:app_of_worker",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
    )


async def _check(url: str) -> None:
    async with connect(url) as client:
        await check_fit(client)


@main.command()
@_with("redis", "types", "callback_base", "callback_allow", "callback_deny", "callback_ports",
       "timeout", "concurrency", "source")  # fmt: skip
def notifier(settings: Settings) -> None:
    """Grant capacity, call back, let expire; run as many as you like."""

    async def work() -> None:
        async with connect(settings.redis) as client:
            await check_fit(client)
            async with _notifying(settings, client, _feeds(settings)) as running:
                await running.run()

    _settle_garbage()
    _uvloop_run(_until_signal(work()))


@main.command()
@_with("host", "port", "insecure", "source")
def dev(settings: Settings) -> None:
    """Run everything in one process, on an embedded store, with an inbox for callbacks."""
    settings.check_bind()
    feeds = _feeds(settings)
    _at_signals(_leave)
    server = Server(STORE, options=("--appendfilename", "store.aof")) if find_server() else None
    if server is None:
        log.warning("no redis-server or valkey-server found: fakeredis, in memory, gone at the end")
    else:
        try:
            server.start()
        except SystemExit:
            server.stop()
            raise
        log.info("embedded store: %s in %s, port %s", find_server(), STORE, server.port)
    try:
        _uvloop_run(_dev(settings, server, feeds))
    finally:
        if server:
            server.stop()


def _at_signals(handler: Callable[..., None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _leave(*_: object) -> None:
    raise SystemExit(1)


def _reachable(host: str) -> str:
    """Where this machine itself reaches what it binds."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _dev(settings: Settings, server: Server | None, feeds: Sequence[Feed]) -> None:
    client = connect(server.url) if server else in_memory()
    settings = replace(
        settings,
        redis=server.url if server else "redis://127.0.0.1:0/0",
        callback_base=f"http://{_reachable(settings.host)}:{settings.port}/inbox/",
        callback_allow=("127.0.0.0/8", "::1/128"),
    )
    broker = Broker(client)
    fed = {feed.type for feed in feeds}
    for type_ in DEMO_TYPES:
        if type_ not in fed and not await broker.hosts(type_):
            await broker.set_host(type_, DEMO_HOST)
    config = uvicorn.Config(
        app(settings, client, dev=True), host=settings.host, port=settings.port, access_log=False
    )
    _at_signals(lambda *_: None)  # uvicorn ends at them, then raises them again: not our end yet
    async with client, _notifying(settings, client, feeds, dev=True) as running:
        task = asyncio.create_task(running.run())
        await uvicorn.Server(config).serve()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@main.command()
@click.argument("verb", type=click.Choice(sorted(SCRIPTS)), required=False)
def scripts(verb: str | None) -> None:
    """Print the scripts' contracts and SHAs; of one verb, the whole source for other languages."""
    if verb:
        click.echo(SCRIPTS[verb].source, nl=False)
        return
    for script in SCRIPTS.values():
        click.echo(f"{script.name} {script.sha}\n{script.contract}")


@main.command()
@_with("redis", "types")
def audit(settings: Settings) -> None:
    """Hold every index and every hold of every type against its jobs; exit 1 on a fault."""

    async def work() -> int:
        found = 0
        async with connect(settings.redis) as client:
            for type_ in settings.types or await Broker(client).names():
                for finding in await audit_type(client, type_):
                    click.echo(f"{type_}: {finding}")
                    found += finding.severity is Severity.FAULT
        return found

    if found := asyncio.run(work()):
        raise SystemExit(f"{found} faults")
    click.echo("clean")


def _settle_garbage() -> None:
    """Take what lives as long as the process out of full collections, each a pause of 40 ms."""
    gc.collect()
    gc.freeze()


def _uvloop_run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
