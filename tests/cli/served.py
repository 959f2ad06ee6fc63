"""An API in a thread of this process, which commands call over HTTP while the test waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from standins.applications import serving, url_of

from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Served:
    """Where it serves, and its broker, which tests change through `run`."""

    url: str
    broker: Broker
    portal: BlockingPortal

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the loop of the API; return its result."""
        result: _Result = self.portal.call(_awaited, work)
        return result


async def _awaited(work: Coroutine[Any, Any, _Result]) -> _Result:
    return await work


@contextmanager
def served(redis: str) -> Iterator[Served]:
    """Serve on a free port, on the Redis at this URL, until the end."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_serving(redis)) as (url, broker),
    ):
        yield Served(url, broker, portal)


@asynccontextmanager
async def _serving(redis: str) -> AsyncIterator[tuple[str, Broker]]:
    async with aclosing(Broker(connect(redis))) as broker:
        grace = 1  # a command that was left may have a stream open for ever
        app = create_app(broker)
        async with serving(app, lifespan="off", timeout_graceful_shutdown=grace) as server:
            yield url_of(server), broker
