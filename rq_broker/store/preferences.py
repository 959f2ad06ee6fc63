"""Until when jobs with alternatives prefer the first of them; of the few that do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from rq_broker.store.keys import Keys, job_of
from rq_broker.store.runner import Runner


async def prefers_until(runner: Runner, type_: str, members: Collection[str]) -> dict[str, float]:
    """Read until when jobs prefer their first alternative, seconds since 1970, by member."""
    keys = Keys(type_)
    times = await asyncio.gather(
        *(
            runner.command("HGET", keys.of("job", job_of(name)[1]), "prefers_until")
            for name in members
        )
    )
    return {
        name: int(time) / 1000
        for name, time in zip(members, times, strict=True)
        if time is not None and time.isdecimal()
    }
