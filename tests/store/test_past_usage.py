"""What owners used: kept up to date while the policy shares, and forgotten when it fades."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.admission.snapshot import read_snapshot
from rq_broker.domain.jobs import Status
from rq_broker.domain.sharing import DEFAULT_HALF_LIFE, Share
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, publish, shape, submit

PAST_USAGE = Keys(TYPE).of("past_usage")
DAY = 86_400_000
"""Milliseconds."""


async def _ago(client: Redis, milliseconds: int) -> int:
    """Return a time in ms since 1970, by Redis's clock."""
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000 - milliseconds


async def _hold(
    broker: Broker, request_id: str = "d", owner: str = "o", *hosts: str, **amounts: int
) -> None:
    """Grant a job one instance on each of these hosts, on h1 if none is given."""
    wanted = shape(*([amounts or {"VCPU": 1}] * len(hosts or "1")), owner=owner)
    for name in hosts or ("h1",):
        await publish(broker, name)
    job = await submit(broker, request_id, owner_id=owner, shape=wanted)
    assert await grant(broker, job, wanted, *hosts)


async def _average(client: Redis, owner: str = "o", resource: str = "VCPU") -> float:
    text = await client.hget(PAST_USAGE, f"{resource}/{owner}")
    return float(str(text).split(" ")[0])


async def test_a_policy_that_does_not_share_keeps_nothing(broker: Broker, client: Redis) -> None:
    """Grants and releases write no average."""
    await _hold(broker)
    await broker.withdraw(TYPE, "d")
    assert not await client.exists(PAST_USAGE)


@pytest.mark.parametrize("half_life", [DEFAULT_HALF_LIFE, 60.0, 0.5])
async def test_an_average_moves_towards_what_is_held(
    broker: Broker, client: Redis, half_life: float
) -> None:
    """At a release half of the way was gone after a half-life, by the policy's own."""
    share = "owner" if half_life == DEFAULT_HALF_LIFE else Share("owner", half_life)
    await broker.set_policy(TYPE, {"share": share})
    await _hold(broker)
    assert await _average(client) == 0
    since = await _ago(client, round(half_life * 1000))
    await client.hset(PAST_USAGE, "VCPU/o", f"9 {since}")
    await broker.transition(TYPE, "d", Status.DONE)
    assert 4 < await _average(client) <= 5
    assert await audit(client, TYPE) == []


async def test_a_job_of_several_hosts_is_counted_once(broker: Broker, client: Redis) -> None:
    """The average of one moment is of what was held before the whole grant, or release."""
    await broker.set_policy(TYPE, {"share": "owner"})
    await _hold(broker, "d", "o", "h1", "h2", VCPU=3)
    assert await _average(client) == 0
    await client.hset(PAST_USAGE, "VCPU/o", f"0 {await _ago(client, 99 * DAY)}")
    await broker.withdraw(TYPE, "d")
    assert await _average(client) == pytest.approx(6)


async def test_a_clock_that_stepped_back_changes_no_average(broker: Broker, client: Redis) -> None:
    """A time in the future counts as now."""
    await broker.set_policy(TYPE, {"share": "owner"})
    await _hold(broker)
    await client.hset(PAST_USAGE, "VCPU/o", f"8 {await _ago(client, -DAY)}")
    await broker.transition(TYPE, "d", Status.DONE)
    assert await _average(client) == 8


async def test_sharing_starts_from_what_is_held(broker: Broker) -> None:
    """Owners whose grants are older than the policy used, on average, what they hold."""
    await _hold(broker)
    await broker.set_policy(TYPE, {"share": "owner"})
    snapshot = (await read_snapshot(broker, TYPE)).snapshot
    assert snapshot.past_usage == snapshot.usage == {"o": {"VCPU": 1}}


async def test_past_usage_is_of_the_moment_of_the_snapshot(broker: Broker, client: Redis) -> None:
    """An average fades while nothing is written."""
    await broker.set_policy(TYPE, {"share": "owner"})
    await _hold(broker)
    await _hold(broker, "e", "p")
    await broker.withdraw(TYPE, "e")
    await client.hset(PAST_USAGE, "VCPU/o", f"5 {await _ago(client, DAY)}")
    await client.hset(PAST_USAGE, "VCPU/p", f"4 {await _ago(client, 2 * DAY)}")
    past = (await read_snapshot(broker, TYPE)).snapshot.past_usage
    assert past["o"]["VCPU"] == pytest.approx(3, rel=1e-3)
    assert past["p"]["VCPU"] == pytest.approx(1, rel=1e-3)


async def test_what_owners_used_is_forgotten_when_the_policy_stops_to_share(
    broker: Broker, client: Redis
) -> None:
    """Other changes of the policy keep it."""
    await broker.set_policy(TYPE, {"share": "owner"})
    await _hold(broker)
    await broker.set_policy(TYPE, {"share": Share("owner", 60.0), "paused": True})
    assert await client.exists(PAST_USAGE)
    await broker.set_policy(TYPE, {"share": None})
    assert not await client.exists(PAST_USAGE)
    assert await audit(client, TYPE) == []


async def test_owners_that_used_nothing_for_long_are_forgotten(
    broker: Broker, client: Redis
) -> None:
    """With a new owner's first grant, entries that faded go; those of holders stay."""
    await broker.set_policy(TYPE, {"share": "owner"})
    await _hold(broker)
    old = f"0.1 {await _ago(client, 21 * DAY)}"
    await client.hset(PAST_USAGE, mapping={"VCPU/o": old, "VCPU/gone": old})
    await client.hset(PAST_USAGE, "VCPU/recent", f"0.1 {await _ago(client, DAY)}")
    await _hold(broker, "e", "new")
    assert set(await client.hkeys(PAST_USAGE)) == {"VCPU/o", "VCPU/recent", "VCPU/new"}


async def test_a_snapshot_tells_which_jobs_have_a_priority_of_their_own(broker: Broker) -> None:
    """It does from the first snapshot after the policy began to share; before, none is read."""
    await submit(broker, "a")
    await submit(broker, "b", priority=2**52)
    first = await read_snapshot(broker, TYPE)
    before = await read_snapshot(broker, TYPE, first.state)
    await broker.set_policy(TYPE, {"share": "owner"})
    after = await read_snapshot(broker, TYPE, before.state)
    for window, expected in ((before, [False, False]), (after, [False, True])):
        (waiting,) = window.snapshot.waiting
        assert [head.own_priority for head in waiting.heads] == expected
