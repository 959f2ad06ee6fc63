"""report_state.lua: how far events are counted, and up to where there are any."""

from __future__ import annotations

import time
from typing import Any

from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, submit


async def test_it_has_the_state_the_newest_event_and_the_time(
    broker: Broker, client: Redis
) -> None:
    """Of a new type there is neither; the time is that of Redis in any case."""
    head = await broker.report_state(TYPE)
    assert (head.text, head.newest, head.is_damaged) == ("", "", False)
    assert abs(head.now - time.time()) < 60
    await submit(broker)
    await client.set(Keys(TYPE).of("report"), '{"cursor":"1-0"}')
    head = await broker.report_state(TYPE)
    (newest,) = list[Any](await client.xrange(Keys(TYPE).of("events")) or ())
    assert (head.newest, head.state.cursor) == (newest[0], "1-0")
