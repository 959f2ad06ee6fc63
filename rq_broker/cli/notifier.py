"""`rq-broker notifier`: the background process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

from prometheus_client import CollectorRegistry, start_http_server
from redis.asyncio import Redis, RedisCluster

from rq_broker import __version__
from rq_broker.cli.egress import egress_of, keep_servers_closed
from rq_broker.cli.process import freeze_garbage, raised_descriptor_limit, run_loop, until_signal
from rq_broker.cli.secret_files import cipher_of
from rq_broker.cli.starting import await_redis
from rq_broker.delivery.http.sender import Sender
from rq_broker.domain.errors import Invalid
from rq_broker.measures import add_own
from rq_broker.settings import Settings
from rq_broker.sources.feeds import Feed, read_feeds
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.redis_url import parse
from rq_broker.worker.notifier import Notifier

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run until a signal, then finish the callbacks in flight; refuses bad egress rules."""
    egress_of(settings)
    freeze_garbage()
    raised_descriptor_limit()
    run_loop(until_signal(_run(settings)))


async def _run(settings: Settings) -> None:
    # Wrong settings end the process before it waits for Redis: here, and in `run`.
    feeds = open_feeds(settings)
    cipher_of(settings)
    servers = await await_redis(settings.redis, "notifier", settings.types)
    async with (
        aclosing(connect(settings.redis)) as client,
        open_notifier(settings, client, feeds, servers=servers) as notifier,
        serving_metrics(settings),
    ):
        _log_start(settings, feeds)
        await notifier.run()


def _log_start(settings: Settings, feeds: Sequence[Feed]) -> None:
    """Log what this process is and does, once; the password of Redis is left out."""
    _log.info(
        "notifier of rq-broker %s: Redis %s; types %s; callbacks to %s%s%s; sources %s",
        __version__,
        parse(settings.redis).shown,
        _listed(settings.types, "all"),
        _listed(settings.callback_allow, "private networks"),
        f" but {_listed(settings.callback_deny)}" if settings.callback_deny else "",
        f", ports {_listed(settings.callback_ports)}" if settings.callback_ports else "",
        _listed([f"{feed.name} of {feed.type}" for feed in feeds], "none"),
    )


def _listed(items: Sequence[object], default: str = "") -> str:
    return ", ".join(map(str, items)) or default


@asynccontextmanager
async def serving_metrics(settings: Settings) -> AsyncIterator[None]:
    """Serve what this process measures, if `--metrics-port` says so, in a thread of its own.

    Raises Invalid if the port is taken.
    """
    if settings.metrics_port is None:
        yield
        return
    registry = CollectorRegistry()
    add_own(registry)
    place = f"{settings.metrics_host}:{settings.metrics_port}"
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise Invalid(f"--metrics-port: {place} cannot be served on: {error.strerror}") from None
    _log.info("metrics at http://%s/metrics", place)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def open_feeds(settings: Settings) -> Sequence[Feed]:
    """Open the sources that the file of the settings lists; none without a file."""
    return read_feeds(settings.source) if settings.source else ()


@asynccontextmanager
async def open_notifier(
    settings: Settings,
    client: Redis | RedisCluster,
    feeds: Sequence[Feed],
    *,
    dev: bool = False,
    servers: Iterable[tuple[str, int]] = (),
) -> AsyncIterator[Notifier]:
    """Build the notifier on one Redis client; with `dev` it may call the process's own inbox.

    `servers`: where Redis listens besides the addresses of its URL; callbacks never go there.
    """
    egress = egress_of(settings, own_api=not dev, servers=servers)
    closing = asyncio.create_task(keep_servers_closed(egress, client))
    try:
        async with Sender(egress, timeout_s=settings.timeout) as sender:
            yield Notifier(
                Broker(client, cipher=cipher_of(settings)),
                sender,
                types=settings.types,
                callback_base=settings.callback_base,
                timeout=settings.timeout,
                concurrency=settings.concurrency,
                feeds=feeds,
                callbacks=egress.options,
            )
    finally:
        closing.cancel()
