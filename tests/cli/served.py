"""An API in a thread of this process, which commands call over HTTP while the test waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn

from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import free_port

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Served:
    """Where it serves, and its broker, which tests change through `run`."""

    url: str
    broker: Broker
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the loop of the API; return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def served(redis: str) -> Iterator[Served]:
    """Serve on a free port, on the Redis at this URL, until the end."""
    loop = asyncio.new_event_loop()
    client = connect(redis)
    broker = Broker(client)
    port = free_port()
    config = uvicorn.Config(
        create_app(broker),
        port=port,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,  # a command that was left may have a stream open for ever
    )
    server = uvicorn.Server(config)
    started = threading.Event()

    async def serve() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        started.set()
        await task
        left = asyncio.all_tasks() - {asyncio.current_task()}  # what streams of events leave behind
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await broker.aclose()
        await client.aclose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield Served(f"http://127.0.0.1:{port}", broker, loop)
    finally:
        server.should_exit = True
        thread.join()
        loop.close()
