"""Reports of real notifiers: killed and racing, they count each event once."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

from rq_broker.domain.jobs import Status
from rq_broker.domain.reports import ALL, step_at
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.making import TYPE, publish, shape, submit
from tests.processes import Children, until

JOBS = 240


async def test_kill_9_of_a_notifier_that_counts_doubles_and_loses_nothing(
    spawn: Children, store: Server
) -> None:
    """Two notifiers count while jobs run; one is killed amid it, and all is counted once."""
    client: Any = connect(store.url)
    async with client:
        broker = Broker(client)
        await publish(broker, VCPU=1000)
        notifiers = [spawn.notifier(store.url) for _ in range(2)]

        async def live(first: int) -> None:
            for number in range(first, JOBS, 8):
                name = f"j{number}"
                wanted = shape(destination="offer")
                await submit(broker, name, callback="", shape=wanted)

                async def is_granted(name: str = name) -> bool:
                    return (await broker.read(TYPE, name)).status is not Status.QUEUED

                await until(is_granted, f"{name} is granted")
                await broker.transition(TYPE, name, Status.DONE)

        loads = [asyncio.create_task(live(first)) for first in range(8)]

        async def is_counting() -> bool:
            return bool(await client.exists(Keys(TYPE).of("report")))

        await until(is_counting, "some events are counted")
        notifiers[0].send(signal.SIGKILL)
        await asyncio.gather(*loads)

        async def counted() -> dict[str, int]:
            head = await broker.report_state(TYPE)
            steps = [step_at("day", head.now - back) for back in (0, 86400)]
            stored = await broker.report_steps(TYPE, steps)
            days = [json.loads(step[ALL]) for step in stored if ALL in step]
            words = ("submitted", "granted", "done")
            return {word: sum(day.get(word, 0) for day in days) for word in words}

        async def is_all() -> bool:
            head = await broker.report_state(TYPE)
            return head.newest == head.state.cursor

        await until(is_all, "all events are counted")
        assert await counted() == {"submitted": JOBS, "granted": JOBS, "done": JOBS}
        assert await audit(client, TYPE) == []
