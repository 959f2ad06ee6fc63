"""Serves an ASGI application by uvicorn in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from rq_broker.store.embedded import free_port


def serving(app: ASGIApp, **options: Any) -> AbstractAsyncContextManager[uvicorn.Server]:
    """Serve on a free port of loopback meanwhile, with options of uvicorn's Config."""
    return serving_as(uvicorn.Config(app, **{"log_config": None, "port": free_port(), **options}))


@asynccontextmanager
async def serving_as(config: uvicorn.Config) -> AsyncIterator[uvicorn.Server]:
    """Serve so meanwhile.

    uvicorn leaves connections and tasks behind that outlast its grace; here none outlives the
    context, and so none the event loop.
    """
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        assert server.started, "the application did not start, see the log"
        yield server
    finally:
        server.should_exit = True
        await task
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
        for connection in [*server.server_state.connections]:
            connection.transport.abort()
        await asyncio.sleep(0)  # aborted transports close on the loop's next turn


def url_of(server: uvicorn.Server) -> str:
    """Return where a server of `serving` serves."""
    return f"http://127.0.0.1:{server.config.port}"
