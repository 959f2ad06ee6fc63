"""lib/backlog.lua: grants wait while callbacks of earlier grants lag behind."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import read_snapshot
from rq_broker.domain.jobs import Status
from rq_broker.planner import ReasonCode, plan
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, grant, publish, settle, shape, submit
from tests.redis_reads import members
from tests.store.lua.breaking import HEALTHY, KEYS, RECEIVER, claim_due, grant_at


async def _make_older(client: Redis, milliseconds: int) -> None:
    """Make all that waits for a courier older."""
    for name in ("prompt", "deliveries"):
        for member in await members(client, KEYS.of(name)):
            await client.zincrby(KEYS.of(name), -milliseconds, member)
    if since := await client.hget(KEYS.base, "unclaimed_since"):
        await client.hset(KEYS.base, "unclaimed_since", int(since) - milliseconds)


async def _prompt(broker: Broker, host: str) -> str:
    """Let a destination answer its first callback, so that it is known to be prompt."""
    destination = await grant_at(broker, host, f"first at {host}")
    (delivery,) = await claim_due(broker)
    await settle(broker, delivery, HEALTHY)
    return destination


async def _waiting(broker: Broker, host: str, *names: str) -> None:
    for name in names:
        wanted = shape(destination=f"http://{host}:80")
        await submit(broker, name, shape=wanted, callback=f"http://{host}/{name}")


async def test_no_grant_while_a_callback_is_late_and_the_claim_wakes_the_granter(
    client: Redis, broker: Broker
) -> None:
    """A callback due for long stops all grants of the type; the claim of it lets them go on."""
    await _prompt(broker, "x")
    await grant_at(broker, "x", "a")
    await _waiting(broker, "y", "b")
    await _make_older(client, 300)
    granter = Granter(broker, TYPE)
    assert await granter.run_once() == 0
    assert await broker.callbacks_are_late(TYPE)
    await client.delete(KEYS.of("wake"))
    assert [delivery.job.request_id for delivery in await claim_due(broker)] == ["a"]
    assert "grant" in await client.zrange(KEYS.of("wake"), 0, -1)
    assert await granter.run_once() == 1
    assert not await broker.callbacks_are_late(TYPE)
    assert await audit(client, TYPE) == []


async def test_a_callback_that_still_lags_wakes_nobody(client: Redis, broker: Broker) -> None:
    """While another late callback is left, a claim does not wake the granter."""
    await _prompt(broker, "x")
    await grant_at(broker, "x", "a", "b")
    await _waiting(broker, "x", "c")
    await _make_older(client, 300)
    assert await Granter(broker, TYPE).run_once() == 0
    await client.delete(KEYS.of("wake"))
    assert len(await claim_due(broker, 1)) == 1
    assert "grant" not in await client.zrange(KEYS.of("wake"), 0, -1)


async def test_slow_and_dead_receivers_do_not_make_the_others_late(
    client: Redis, broker: Broker
) -> None:
    """Callbacks to an unproven destination may wait for ever: others are granted, while claimed."""
    await grant_at(broker, "dead", "a", "b")
    await claim_due(broker, 1)
    await _make_older(client, 3_600_000)
    await _waiting(broker, "y", "c")
    assert await Granter(broker, TYPE).run_once() == 1


async def test_a_type_without_a_courier_stops_granting(client: Redis, broker: Broker) -> None:
    """Where nobody claims what is due for two seconds, grants end; the first claim resumes them."""
    await grant_at(broker, "x", "a")
    await _waiting(broker, "y", "b")
    await _make_older(client, 2100)
    granter = Granter(broker, TYPE)
    assert await granter.run_once() == 0
    await claim_due(broker)
    assert await granter.run_once() == 1


async def test_jobs_started_without_a_callback_do_not_count(client: Redis, broker: Broker) -> None:
    """A client may set a granted job running itself: then no courier is missing."""
    await grant_at(broker, "x", "a")
    await broker.transition(TYPE, "a", Status.RUNNING)
    await _waiting(broker, "y", "b")
    await _make_older(client, 2100)
    assert await Granter(broker, TYPE).run_once() == 1
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("is_prompt", [False, True])
async def test_a_destination_takes_grants_up_to_its_bound(
    client: Redis, broker: Broker, is_prompt: bool
) -> None:
    """Callbacks that wait for one destination bound its grants, not those of another."""
    if is_prompt:
        await _prompt(broker, "x")
    await broker.set_policy(TYPE, {"concurrency": 1})
    await publish(broker, VCPU=50)
    granter, claimed = Granter(broker, TYPE), []
    for names in ("abc", "def"):
        await _waiting(broker, "x", *names)
        await granter.run_once()
        claimed += await claim_due(broker)
    await _waiting(broker, "y", "other")
    await granter.run_once()
    granted = {job.request_id for job in (await broker.page(TYPE, status="granted")).jobs}
    assert "other" in granted
    assert len(granted) == 4
    window = await read_snapshot(broker, TYPE)
    assert window.snapshot.behind == {RECEIVER}
    reasons = plan(window.snapshot).reasons
    assert {reason.code for reason in reasons.values()} == {ReasonCode.DESTINATION_BEHIND}
    while claimed:
        await settle(broker, claimed.pop(0), HEALTHY)
        claimed += await claim_due(broker)
        await granter.run_once()
    assert (await broker.counts(TYPE))[Status.QUEUED] == 0
    assert await audit(client, TYPE) == []
    assert await client.exists(KEYS.of("behind"), KEYS.of("uncalled", RECEIVER)) == 0


async def test_a_job_that_leaves_does_not_count_as_uncalled(client: Redis, broker: Broker) -> None:
    """A job withdrawn before its callback was claimed is not counted at its destination."""
    destination = await grant_at(broker, "x", "a", "b")
    await broker.withdraw(TYPE, "a")
    uncalled = await client.zrange(KEYS.of("uncalled", f"{destination} o"), 0, -1)
    assert [member[17:] for member in uncalled] == ["b"]
    job = await submit(broker, "c")
    assert await grant(broker, job) is not None
