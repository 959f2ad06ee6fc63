"""The granter: snapshot, plan and commit, on fakeredis and on a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.admission import granter, snapshot as snapshots
from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import WindowedSnapshot, read_snapshot
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, publish, shape, submit


async def _submit(
    broker: Broker, request_id: str, *vcpus: int, priority: int | None = None, **options: Any
) -> None:
    """Submit a job of instances that need so many VCPU each; `options` are of its shape."""
    wanted = shape(*({"VCPU": amount} for amount in vcpus), **options)
    await submit(broker, request_id, shape=wanted, priority=priority, owner_id=wanted.owner)


async def _granted(broker: Broker) -> set[str]:
    page = await broker.page(TYPE, status="granted")
    return {job.request_id for job in page.jobs}


async def _end(broker: Broker, *request_ids: str) -> None:
    for request_id in request_ids:
        await broker.transition(TYPE, request_id, Status.DONE)


# What is granted


async def test_jobs_are_granted_in_priority_order_until_nothing_fits(
    broker: Broker, client: Redis
) -> None:
    """Capacity goes to the first job, past those that do not fit, down to the last unit."""
    await publish(broker, VCPU=6)
    for request_id, amount, priority in [("d", 1, 9), ("c", 1, 4), ("b", 4, 3), ("a", 3, 1)]:
        await _submit(broker, request_id, amount, priority=priority)
    await _submit(broker, "e", 2, priority=8)
    assert await Granter(broker, TYPE).run_once() == 3
    assert await _granted(broker) == {"a", "c", "e"}
    (host,) = await broker.hosts(TYPE)
    assert host.free == {"VCPU": 0}
    assert await audit(client, TYPE) == []


async def test_nothing_waiting_grants_nothing(broker: Broker) -> None:
    """An unused type, and one whose queue is empty, cause no error."""
    assert await Granter(broker, TYPE).run_once() == 0
    await publish(broker)
    assert await Granter(broker, TYPE).run_once() == 0


async def test_a_gang_is_granted_whole_or_not_at_all(broker: Broker) -> None:
    """Two instances that one host cannot hold wait for a second host, and hold nothing before."""
    await publish(broker, "h1", VCPU=4)
    await _submit(broker, "gang", 3, 3)
    assert await Granter(broker, TYPE).run_once() == 0
    assert (await broker.host(TYPE, "h1")).held == {}
    await publish(broker, "h2", VCPU=4)
    assert await Granter(broker, TYPE).run_once() == 1
    assert sorted((await broker.read(TYPE, "gang")).hosts) == ["h1", "h2"]


async def test_a_job_stays_in_its_aggregate(broker: Broker) -> None:
    """A job gets no capacity outside the aggregate it names, however much there is."""
    await publish(broker, "h1", VCPU=64)
    await _submit(broker, "d", 1, aggregate="gpu")
    assert await Granter(broker, TYPE).run_once() == 0
    await broker.set_host(TYPE, Host("g1", {"VCPU": 1}, aggregates=frozenset({"gpu"})))
    assert await Granter(broker, TYPE).run_once() == 1
    assert (await broker.read(TYPE, "d")).hosts == ("g1",)


async def test_released_capacity_goes_to_the_next_job(broker: Broker) -> None:
    """A granter that reads only changes sees a release and grants the next job."""
    await publish(broker, VCPU=2)
    for request_id in "abc":
        await _submit(broker, request_id, 2)
    process = Granter(broker, TYPE)
    for request_id in "abc":
        assert await process.run_once() == 1
        assert await _granted(broker) == {request_id}
        assert await process.run_once() == 0
        await _end(broker, request_id)
    assert await process.run_once() == 0


async def test_more_jobs_of_one_shape_than_a_pass_sees_are_all_granted(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass sees a few jobs of a shape; the granter runs passes until all that fit are granted."""
    monkeypatch.setattr(granter, "HEADS", 2)
    monkeypatch.setattr(granter, "MAX_HEADS", 3)
    await publish(broker, VCPU=10)
    for number in range(12):
        await _submit(broker, f"d{number:02}", 1)
    assert await Granter(broker, TYPE).run_once() == 10
    assert await _granted(broker) == {f"d{number:02}" for number in range(10)}


async def test_policy_is_obeyed_on_the_next_pass(broker: Broker) -> None:
    """Pausing stops grants, limits bind an owner, and without both the same granter goes on."""
    await publish(broker, VCPU=9)
    for request_id in "abc":
        await _submit(broker, request_id, 1, owner="lab")
    process = Granter(broker, TYPE)
    await broker.set_policy(TYPE, {"paused": True})
    assert await process.run_once() == 0
    await broker.set_policy(TYPE, {"paused": False, "limits": {"lab": {"VCPU": 2}}})
    assert await process.run_once() == 2
    assert await process.run_once() == 0
    await broker.set_policy(TYPE, {"limits": {}})
    assert await process.run_once() == 1


async def test_a_host_that_shrinks_below_its_holds_gets_no_grants(broker: Broker) -> None:
    """Shrinking and dropping keep the holds, and block grants until there is room again."""
    await publish(broker, VCPU=4)
    await _submit(broker, "a", 3)
    await _submit(broker, "b", 1)
    await _submit(broker, "c", 1)
    process = Granter(broker, TYPE)
    assert await process.run_once() == 2
    await publish(broker, VCPU=2)
    await _end(broker, "b")
    assert await process.run_once() == 0
    await broker.drop_host(TYPE, "h1")
    assert await process.run_once() == 0
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 3}
    await publish(broker, VCPU=4)
    assert await process.run_once() == 1


async def test_a_grant_that_is_no_longer_true_is_not_committed(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job withdrawn between snapshot and commit is not granted; the rest of the plan is."""
    await publish(broker, VCPU=2)
    await _submit(broker, "gone", 1)
    await _submit(broker, "here", 1)

    async def read_then_withdraw(*args: Any, **named: Any) -> WindowedSnapshot:
        window = await read_snapshot(*args, **named)
        heads = [head for shape in window.snapshot.waiting for head in shape.heads]
        if "gone" in [head.request_id for head in heads]:
            await broker.withdraw(TYPE, "gone")
        return window

    monkeypatch.setattr(granter, "read_snapshot", read_then_withdraw)
    assert await Granter(broker, TYPE).run_once() == 1
    assert await _granted(broker) == {"here"}
    assert await audit(client, TYPE) == []


# Windows


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every pass see the first 2 shapes and a window of 3 more."""
    for module in (snapshots, granter):
        monkeypatch.setattr(module, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 3)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("priority", [None, 5])
@pytest.mark.parametrize("shapes", [4, 5, 6, 7, 8, 11, 14])
async def test_windows_reach_every_shape(broker: Broker, shapes: int, priority: int | None) -> None:
    """A job that fits is granted behind any number of shapes that do not, of equal priority too."""
    await publish(broker, VCPU=1)
    for number in range(shapes - 1):
        await _submit(broker, f"big{number}", 2 + number, priority=priority)
    await _submit(broker, "small", 1, priority=priority)
    process = Granter(broker, TYPE)
    assert await process.run_once() == 1
    assert await _granted(broker) == {"small"}
    assert await process.run_once() == 0


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("share", [None, "owner"])
async def test_an_owner_far_behind_has_its_turn(broker: Broker, share: str | None) -> None:
    """While the policy shares, it need not wait until the shapes before its own are all gone."""
    await broker.set_policy(TYPE, {"share": share})
    await publish(broker, VCPU=1)
    for number in range(12):
        await _submit(broker, f"heavy{number}", 1, destination=f"http://x:{number}")
    await _submit(broker, "light", 1, owner="light")
    process, granted = Granter(broker, TYPE), list[str]()
    for _ in range(13):
        assert await process.run_once() == 1
        granted += await _granted(broker)
        await _end(broker, granted[-1])
    assert (granted.index("light") < 5) == (share == "owner")
    assert granted[-1] == ("heavy11" if share else "light")


@pytest.mark.usefixtures("small_windows")
async def test_after_a_grant_the_front_of_the_queue_comes_first_again(broker: Broker) -> None:
    """After a grant deep in the queue, the next pass begins at the front."""
    await publish(broker, VCPU=3)
    for number in range(9):
        await _submit(broker, f"big{number}", 5 + number)
    for request_id, amount in (("a", 1), ("b", 2)):
        await _submit(broker, request_id, amount)
    process = Granter(broker, TYPE)
    assert await process.run_once() == 2
    await _end(broker, "a", "b")
    await _submit(broker, "first", 3, priority=0)
    await _submit(broker, "last", 3)
    assert await process.run_once() == 1
    assert await _granted(broker) == {"first"}


@pytest.mark.usefixtures("small_windows")
async def test_ties_beyond_a_window_are_first_come_first_served(broker: Broker) -> None:
    """At one priority, with more shapes than a pass sees, the earliest job goes first."""
    names = [f"d{number:02}" for number in range(20)]
    for name in names:
        await _submit(broker, name, 1, owner=name, priority=5)
    await publish(broker, VCPU=1)
    process = Granter(broker, TYPE)
    for name in names[:10]:
        assert await process.run_once() == 1
        assert await _granted(broker) == {name}
        await _end(broker, name)


@pytest.mark.usefixtures("small_windows")
async def test_grants_at_the_front_do_not_starve_jobs_deep_in_the_queue(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While every pass grants at the front of the queue, a job deep in it is still granted."""
    await publish(broker, "h1", VCPU=1)
    await broker.set_host(TYPE, Host("g1", {"GPU": 1}))
    for number in range(12):
        await _submit(broker, f"big{number:02}", 2 + number, priority=number)
    await submit(broker, "deep", shape=shape({"GPU": 1}), priority=99)
    passes = 0

    async def busy(*args: Any, **named: Any) -> WindowedSnapshot:
        nonlocal passes
        passes += 1
        held = await _granted(broker)
        await _end(broker, *held - {"deep"})
        if passes <= 20 and "deep" not in held:
            await _submit(broker, f"front{passes}", 1, priority=-passes)
        return await read_snapshot(*args, **named)

    monkeypatch.setattr(granter, "read_snapshot", busy)
    granted = await Granter(broker, TYPE).run_once()
    assert await _granted(broker) == {"deep"}
    assert granted < 20


@pytest.mark.usefixtures("small_windows")
async def test_a_reservation_binds_later_windows_too(broker: Broker) -> None:
    """What is reserved is kept from jobs of every window, not of the head's own alone."""
    await publish(broker, VCPU=4)
    await broker.set_policy(TYPE, {"patience": 0.01})
    await _submit(broker, "holder", 2)
    process = Granter(broker, TYPE)
    assert await process.run_once() == 1
    for number in range(3):
        await _submit(broker, f"never{number}", 100 + number)
    await _submit(broker, "patient", 4)
    await _submit(broker, "passing", 1)
    assert await process.run_once() == 1
    await asyncio.sleep(0.03)
    for number in range(3, 8):
        await _submit(broker, f"never{number}", 100 + number)
    await _submit(broker, "late", 1)
    assert await process.run_once() == 0
    await _end(broker, "holder", "passing")
    assert await process.run_once() == 1
    assert await _granted(broker) == {"patient"}


# The lock on planning


async def test_two_granters_do_not_plan_at_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granters of one type plan one after another, and grant every job just once."""
    planning, most = 0, 0

    async def counted(*args: Any, **named: Any) -> WindowedSnapshot:
        nonlocal planning, most
        planning += 1
        most = max(most, planning)
        await asyncio.sleep(0.01)
        window = await read_snapshot(*args, **named)
        planning -= 1
        return window

    monkeypatch.setattr(granter, "read_snapshot", counted)
    await publish(broker)
    for number in range(20):
        await _submit(broker, f"d{number}", 1)
    granted = await asyncio.gather(*(Granter(broker, TYPE).run_once() for _ in range(4)))
    assert sum(granted) == 20
    assert most == 1


async def test_a_refused_granter_makes_the_holder_plan_again(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that came after the holder's snapshot is granted by the holder in another round."""
    has_read, may_return = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any, **named: Any) -> WindowedSnapshot:
        window = await read_snapshot(*args, **named)
        has_read.set()
        await may_return.wait()
        return window

    monkeypatch.setattr(granter, "read_snapshot", slow)
    await publish(broker)
    holder = asyncio.create_task(Granter(broker, TYPE).run_once())
    await has_read.wait()
    await _submit(broker, "late", 1)
    assert await Granter(broker, TYPE).run_once() == 0
    may_return.set()
    assert await holder == 1
    assert await _granted(broker) == {"late"}


async def test_a_dead_holders_turn_ends(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A granter that died with the lock keeps the others from planning for a bounded time only."""
    monkeypatch.setattr(granter, "LOCK_SECONDS", 0.2)
    await publish(broker)
    await _submit(broker, "d", 1)
    assert await broker.turn(TYPE, "dead", "take", 0.2)
    process = Granter(broker, TYPE)
    assert await process.run_once() == 0
    await asyncio.sleep(0.3)
    assert await process.run_once() == 1


async def test_the_turn_is_given_back(broker: Broker, client: Redis) -> None:
    """After its passes a granter leaves no lock that others would have to wait out."""
    await publish(broker)
    await _submit(broker, "d", 1)
    await Granter(broker, TYPE).run_once()
    assert await client.exists(Keys(TYPE).of("turn:plan"), Keys(TYPE).of("turn:plan:again")) == 0
    assert await broker.turn(TYPE, "another", "take", 1.0)


# Damage


async def test_a_restored_store_is_read_anew(broker: Broker, client: Redis) -> None:
    """A granter that has seen more changes than a restored store has still sees its hosts."""
    await publish(broker, VCPU=1)
    process = Granter(broker, TYPE)
    for request_id in "abc":
        await _submit(broker, request_id, 1)
        assert await process.run_once() == 1
        await _end(broker, request_id)
    await _submit(broker, "d", 1)
    assert await process.run_once() == 1
    await client.flushall()
    await publish(broker, VCPU=1)
    await _submit(broker, "e", 1)
    assert await process.run_once() == 1


async def test_an_unreadable_shape_stops_no_other(broker: Broker, client: Redis) -> None:
    """One record that cannot be read does not keep the other jobs from being granted."""
    await publish(broker)
    await _submit(broker, "broken", 1)
    digest = (await broker.read(TYPE, "broken")).shape
    await client.hset(Keys(TYPE).of("shapes"), digest, "no JSON")
    await _submit(broker, "sound", 2)
    assert await Granter(broker, TYPE).run_once() == 1
    assert await _granted(broker) == {"sound"}
