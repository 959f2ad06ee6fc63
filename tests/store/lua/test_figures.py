"""figures.lua, and what a grant counts: waits by size, forecasts, missed offers."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.figures import WAIT_BOUNDS, Figures, Judged, Waits
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, grant, publish, settle, submit

KEYS = Keys(TYPE)


async def _age(client: Redis, request_id: str, seconds: float, field: str = "created") -> None:
    """Make a job so much older."""
    since = int(await client.hget(KEYS.of("job", request_id), field) or 0)
    await client.hset(KEYS.of("job", request_id), field, since - round(seconds * 1e6))


def _counted(figures: Figures) -> dict[int, dict[float, int]]:
    """Return size class → bound of a bucket → grants in it; of buckets that have some."""
    bounds = (*WAIT_BOUNDS, float("inf"))
    return {
        size: {bound: n for bound, n in zip(bounds, waits.counts, strict=True) if n}
        for size, waits in figures.waits.items()
    }


async def test_a_grant_counts_its_wait_by_size(broker: Broker, client: Redis) -> None:
    """Each grant is in one bucket of its size class, the smallest and largest classes open-ended;
    and the sum of the waits is kept."""
    await publish(broker)
    for name, seconds, size in (
        ("now", 0, 0), ("later", 50, 0), ("never", 1e6, 0), ("tiny", 2, -9), ("wide", 2, 9),
    ):  # fmt: skip
        job = await submit(broker, name)
        await _age(client, name, seconds)
        assert await grant(broker, job, size=size)
    figures = await broker.figures(TYPE)
    inf = float("inf")
    assert _counted(figures) == {0: {1: 1, 60: 1, inf: 1}, -4: {5: 1}, 4: {5: 1}}
    assert figures.waits[0].seconds == pytest.approx(1_000_050, abs=60)
    assert await audit(client, TYPE) == []


async def test_a_job_that_comes_back_waits_anew(broker: Broker, client: Redis) -> None:
    """The time that a job held capacity is no wait: it counts from its return to the line."""
    await publish(broker)
    job = await submit(broker)
    await _age(client, "d", 5000)
    assert await grant(broker, job)
    await broker.transition(TYPE, "d", Status.RUNNING)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await grant(broker, await broker.read(TYPE, "d"))
    assert _counted(await broker.figures(TYPE)) == {-3: {1: 1, 14400: 1}}


async def test_counting_costs_no_command(real_client: Redis) -> None:
    """Grants send Redis as many commands with a forecast as without one, and none to count."""
    broker = Broker(real_client)
    await publish(broker)

    async def commands_of(job: Job) -> dict[str, int]:
        await real_client.config_resetstat()
        assert await grant(broker, job)
        stats = await real_client.info("commandstats")
        return {name: row["calls"] for name, row in stats.items() if name != "cmdstat_info"}

    await commands_of(await submit(broker, "first"))
    plain = await commands_of(await submit(broker, "plain"))
    promised = await submit(broker, "promised")
    await broker.forecast(TYPE, [(promised, 1.0, 2.0)])
    assert await commands_of(promised) == plain
    assert plain["cmdstat_hincrby"] == 4  # held, usage, the host's number, who waits


async def test_forecasts_are_judged_at_both_percentiles(broker: Broker) -> None:
    """A job may come after its p50 and within its p90; one of an older process has a p90 only."""
    await publish(broker)
    for name, p50, p90 in (("a", -5.0, 5.0), ("b", 5.0, 5.0), ("c", -5.0, -1.0)):
        job = await submit(broker, name)
        await broker.forecast(TYPE, [(job, p50, p90)])
        assert await grant(broker, job)
    figures = await broker.figures(TYPE)
    assert (figures.p50, figures.p90) == (Judged(1, 2), Judged(2, 1))


async def test_offers_that_nobody_took(broker: Broker) -> None:
    """An offer that runs out is counted once, whether its last callback or a sweep ends it."""
    await broker.set_policy(TYPE, {"offer": 1.0})
    await publish(broker)
    assert await grant(broker, await submit(broker))
    delivery = await claim_one(broker)
    assert await settle(broker, delivery, Settlement("retry", "timeout", 7, delay=60.0)) == "error"
    assert (await broker.figures(TYPE)).offers_missed == 1


async def test_the_oldest_wait(broker: Broker, client: Redis) -> None:
    """Jobs with priorities of their own do not hide the oldest one behind them; none waits: 0."""
    assert (await broker.figures(TYPE)).oldest == 0
    for name in ("old", "young"):
        await submit(broker, name)
    for number in range(5):
        await submit(broker, f"urgent-{number}", priority=number)
    await _age(client, "old", 1000)
    assert (await broker.figures(TYPE)).oldest == pytest.approx(1000, abs=60)
    await _age(client, "urgent-3", 3000)
    assert (await broker.figures(TYPE)).oldest == pytest.approx(3000, abs=60)


async def test_a_job_that_came_back_hides_no_older_wait(broker: Broker, client: Redis) -> None:
    """A job that returned to the first place waits since then; the one behind it has for longer."""
    await bring(broker, Status.GRANTED, "back")
    await submit(broker, "behind")
    await _age(client, "behind", 1000)
    await broker.transition(TYPE, "back", Status.QUEUED)
    assert (await broker.page(TYPE)).jobs[0].request_id == "back"
    assert (await broker.figures(TYPE)).oldest == pytest.approx(1000, abs=60)


async def test_damaged_counters_stop_nothing(broker: Broker, client: Redis) -> None:
    """A counter that is no number begins anew with the next grant."""
    await publish(broker)
    await client.hset(KEYS.base, mapping={"wait:0:1": "x", "wait:0:ms": "", "offers_missed": "-"})
    assert await grant(broker, await submit(broker), size=0)
    figures = await broker.figures(TYPE)
    assert (figures.waits[0].grants, figures.offers_missed) == (1, 0)


def test_figures_add_up() -> None:
    """Those of several types are one: sums, and the longest of the oldest waits."""
    first, second = Waits((1,) * 13, 2.0), Waits((0, 2) + (0,) * 11, 3.0)
    one = Figures(5.0, 1, 2, Judged(1, 0), Judged(0, 1), {0: first})
    more = Figures(3.0, 1, 0, Judged(1, 2), Judged(3, 1), {0: second, 2: second})
    both = Waits((1, 3) + (1,) * 11, 5.0)
    assert one + more == Figures(5.0, 2, 2, Judged(2, 2), Judged(3, 2), {0: both, 2: second})
