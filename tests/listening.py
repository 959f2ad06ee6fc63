"""What tests of wake-ups need: the beats without which a subscription is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.cancellation import raise_if_cancelled


@asynccontextmanager
async def beating(broker: Broker, name: str) -> AsyncIterator[None]:
    """Publish a notifier's beats meanwhile, while Redis takes them."""

    async def beat() -> None:
        while True:
            with suppress(errors.Unavailable):
                await broker.beat(name)
            raise_if_cancelled()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
