"""`rq-broker api`: the HTTP API, in one process or several."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import orjson
import uvicorn
from redis.asyncio import Redis, RedisCluster
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.cli.access import authenticators_of, warn_of_no_token, warn_of_open_api
from rq_broker.cli.credentials import issuer_of, providers_of
from rq_broker.cli.egress import egress_of
from rq_broker.cli.log_lines import set_up_logging
from rq_broker.cli.process import end_with_parent
from rq_broker.cli.secret_files import cipher_of
from rq_broker.cli.serving import browser_rules, check_port, lifespan, rate_rules, server_options
from rq_broker.cli.starting import await_redis
from rq_broker.identity.sessions import SessionRules
from rq_broker.measures import SHARED
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

_SETTINGS_VARIABLE = "RQ_BROKER_HANDED_DOWN"
"""Environment variable in which `run` hands its settings to the worker processes, as JSON."""


def run(settings: Settings) -> None:
    """Serve until a signal; refuses an unsafe address, bad rules, and an evicting Redis."""
    settings.check_bind()
    egress_of(settings)
    browser_rules(settings)
    issuer_of(settings, providers_of(settings))
    cipher_of(settings)
    options = server_options(settings)
    check_port(settings)
    os.environ[_SETTINGS_VARIABLE] = orjson.dumps(settings).decode()
    asyncio.run(await_redis(settings.redis, "api"))
    asyncio.run(warn_of_no_token(settings))
    warn_of_open_api(settings)
    with shared_measures(settings.workers):
        uvicorn.run(
            "rq_broker.cli.api:worker_app", factory=True, workers=settings.workers, **options
        )


@contextmanager
def shared_measures(workers: int) -> Iterator[None]:
    """Let several workers add up what they measure, in a folder that is deleted at the end."""
    if workers == 1 or SHARED in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="rq-broker-metrics-") as folder:
        os.environ[SHARED] = folder  # prometheus_client reads it when a worker imports it
        try:
            yield
        finally:
            del os.environ[SHARED]


def worker_app() -> Starlette:
    """Build the application of a worker process, from the settings that `run` left for it."""
    settings = Settings(**orjson.loads(os.environ[_SETTINGS_VARIABLE]))
    set_up_logging(settings.log_level, settings.log_format)  # a process of its own, with --workers
    end_with_parent(settings.grace)
    return build_app(settings, connect(settings.redis))


def build_app(settings: Settings, client: Redis | RedisCluster, *, dev: bool = False) -> Starlette:
    """Build the application on one Redis client; with `dev` it has an inbox for callbacks."""
    broker = Broker(
        client,
        min_replicas_acked=settings.min_replicas_acked,
        most_types=settings.max_types,
        cipher=cipher_of(settings),
    )
    authenticators = authenticators_of(settings, broker)
    return create_app(
        broker,
        authenticators=authenticators,
        open_types=settings.open_types,
        callback_base=settings.callback_base,
        egress=egress_of(settings, own_api=not dev),
        dashboard=not settings.no_dashboard,
        read_only=settings.read_only,
        inbox=dev,
        browsers=browser_rules(settings),
        rates=rate_rules(settings),
        session_rules=SessionRules(
            settings.session_idle, settings.session_lifetime, issuer_of(settings, authenticators)
        ),
        lifespan=lifespan(settings, broker.events.close),
    )
