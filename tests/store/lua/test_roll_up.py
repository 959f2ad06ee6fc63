"""roll_up.lua: what is counted is written once, by who knows how far, and bounded."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE

KEYS = Keys(TYPE)


def row(step: str, ends: int, gone: tuple[str, ...] = (), *sums: str) -> dict[str, Any]:
    return {"step": step, "ends": ends, "gone": gone, "sums": sums or ("all", "{}")}


async def roll_up(broker: Broker, known: str, state: str, *steps: dict[str, Any]) -> bool:
    reply = await broker.runner.run(
        "roll_up", TYPE, known=known, state=state, now=1000, steps=steps
    )
    return bool(reply.is_counted)


async def test_who_does_not_know_how_far_is_counted_writes_nothing(
    broker: Broker, client: Redis
) -> None:
    """Of two that read the same state one is taken; the other's sums are not."""
    assert await roll_up(broker, "", "a", row("day:0", 5000))
    assert not await roll_up(broker, "", "b", row("day:1", 5000))
    assert await client.get(KEYS.of("report")) == "a"
    assert not await client.exists(KEYS.of("report", "day:1"))
    assert await roll_up(broker, "a", "b", row("day:1", 5000))


async def test_groups_that_are_folded_are_deleted(broker: Broker, client: Redis) -> None:
    """The same call writes the rest, and deletes who is in it now."""
    await roll_up(broker, "", "a", row("day:0", 5000, (), "owner/x", "{}", "all", "{}"))
    await roll_up(broker, "a", "b", row("day:0", 5000, ("owner/x", "owner/y"), "rest", "{}"))
    assert await client.hkeys(KEYS.of("report", "day:0")) == ["all", "rest"]


async def test_steps_go_when_their_time_is_over_or_too_many_are_kept(
    broker: Broker, client: Redis
) -> None:
    """What ends by now is deleted, and beyond a number of steps those that end first."""
    await roll_up(broker, "", "a", row("hour:1", 1000), row("hour:2", 1001))
    assert await client.zrange(KEYS.of("reports"), 0, -1) == ["hour:2"]
    assert not await client.exists(KEYS.of("report", "hour:1"))
    await roll_up(broker, "a", "b", *(row(f"day:{day}", 2000 + day) for day in range(610)))
    assert await client.zcard(KEYS.of("reports")) == 600
    assert not await client.exists(KEYS.of("report", "hour:2"), KEYS.of("report", "day:9"))
    assert await client.exists(KEYS.of("report", "day:10"))


async def test_a_state_of_another_kind_counts_as_none(broker: Broker, client: Redis) -> None:
    """A key that something else wrote is written over."""
    await client.hset(KEYS.of("report"), "x", "y")
    assert (await broker.report_state(TYPE)).text == ""
    assert await roll_up(broker, "", "a")
    assert (await broker.runner.run("report_state", TYPE)).state == "a"
