"""Devices in the scripts: grant.lua checks each again, holds and what is seen are per device."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests import making
from tests.making import TYPE, shape, submit

KEYS = Keys(TYPE)


def gpu_host(*sizes: int, used: tuple[int, ...] | None = None, name: str = "h1") -> Host:
    """Build a host with GPUs of these sizes."""
    fields = {"capacity": {"GPU": [*sizes]}, "used": {"GPU": [*used]} if used else {}}
    return new_host(name, fields)


async def grant(
    broker: Broker, name: str, amounts: tuple[int, ...], *numbers: tuple[int, ...]
) -> int | None:
    """Submit a job and commit a plan that gives its instances these devices of h1."""
    wanted = shape(*({"GPU": amount} for amount in amounts))
    choices: tuple[DeviceChoice, ...] = tuple({"GPU": several} for several in numbers)
    return await making.grant(
        broker, await submit(broker, name, shape=wanted), wanted, devices=choices
    )


async def held(broker: Broker) -> dict[str, int]:
    """Return what is held of each device of h1."""
    return dict((await broker.host(TYPE, "h1")).device_held)


@pytest.mark.parametrize(
    ("amounts", "numbers"),
    [
        ((600,), ((1,),)),  # the device has 400 left
        ((1200,), ((0,),)),  # more than the device has
        ((2000,), ((0, 1),)),  # one of them is not free as a whole
        ((500, 600), ((0,), (0,))),  # together more than the device has
        ((600,), ((4,),)),  # there is no such device
        ((600,), ()),  # the sum, planned before there were devices
        ((1200,), ((2, 3),)),  # parts of two devices
    ],
)
async def test_a_plan_that_no_device_could_hold_is_refused(
    broker: Broker, amounts: tuple[int, ...], numbers: tuple[tuple[int, ...], ...]
) -> None:
    """Whatever the plan assumed, each device is checked again; nothing is held."""
    await broker.set_host(TYPE, gpu_host(1000, 1000, 1000, 1000))
    assert await grant(broker, "first", (600,), (1,)) is not None
    assert await grant(broker, "d", amounts, *numbers) is None
    assert await held(broker) == {"GPU/1": 600}
    assert await grant(broker, "e", (400, 2000), (1,), (2, 3)) is not None
    assert await held(broker) == {"GPU/1": 1000, "GPU/2": 1000, "GPU/3": 1000}


async def test_units_and_limits_go_by_the_resource(broker: Broker) -> None:
    """max_unit binds what one instance has of all its devices, and limits what an owner has."""
    limited = replace(gpu_host(1000, 1000, 1000), max_unit={"GPU": 1000})
    await broker.set_host(TYPE, limited)
    assert await grant(broker, "a", (2000,), (0, 1)) is None
    assert await grant(broker, "b", (1000, 500), (0,), (1,)) is not None
    await broker.set_policy(TYPE, {"limits": {"o": {"GPU": 1600}}})
    assert await grant(broker, "c", (200,), (2,)) is None
    assert await grant(broker, "d", (100,), (2,)) is not None


async def test_a_host_whose_devices_go_keeps_its_holds(broker: Broker, client: Redis) -> None:
    """What is held of a device that its host lost counts against each that it has."""
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "d", (600,), (1,)) is not None
    await broker.set_host(TYPE, gpu_host(1000))
    host = await broker.host(TYPE, "h1")
    assert (host.held, host.device_free) == ({"GPU": 600}, {"GPU/0": 400})
    assert await grant(broker, "e", (600,), (0,)) is None
    assert [str(finding) for finding in await audit(client, TYPE)] == []
    await broker.transition(TYPE, "d", Status.DONE)
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_a_host_with_devices_goes_with_its_last_hold(broker: Broker, client: Redis) -> None:
    """Out of service it has no device to grant, shows what is held of each, and then is gone."""
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "a", (600,), (1,)) is not None
    assert await grant(broker, "b", (1000,), (0,)) is not None
    await broker.drop_host(TYPE, "h1")
    host = await broker.host(TYPE, "h1")
    assert (host.dropped, host.devices, host.held) == (True, {}, {"GPU": 1600})
    assert await held(broker) == {"GPU/0": 1000, "GPU/1": 600}
    assert await grant(broker, "c", (400,), (1,)) is None
    assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "a", Status.DONE)
    assert await held(broker) == {"GPU/0": 1000}
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "d", (1,), (0,)) is None
    assert await grant(broker, "e", (1000,), (1,)) is not None
    await broker.drop_host(TYPE, "h1")
    for name in "be":
        await broker.transition(TYPE, name, Status.DONE)
    with pytest.raises(errors.HostNotFound):
        await broker.host(TYPE, "h1")
    assert await audit(client, TYPE) == []


async def test_a_host_that_changes_between_sums_and_devices_is_not_oversold(
    broker: Broker, client: Redis
) -> None:
    """What was granted of a sum counts against each device, and of devices against the sum."""
    await broker.set_host(TYPE, Host("h1", {"GPU": 2000}))
    assert await grant(broker, "a", (600,)) is not None
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "b", (600,), (1,)) is None
    assert await grant(broker, "c", (400,), (1,)) is not None
    assert (await broker.host(TYPE, "h1")).device_free == {"GPU/0": 400, "GPU/1": 0}
    await broker.set_host(TYPE, Host("h1", {"GPU": 1500}))
    assert await grant(broker, "d", (501,)) is None
    assert await grant(broker, "e", (500,)) is not None
    assert (await broker.host(TYPE, "h1")).free == {"GPU": 0}
    assert await audit(client, TYPE) == []
    for name in "ace":
        await broker.transition(TYPE, name, Status.DONE)
    assert (await broker.host(TYPE, "h1")).held == {}
    assert await audit(client, TYPE) == []


async def test_what_a_source_counts_elsewhere_is_no_longer_held(
    broker: Broker, client: Redis
) -> None:
    """A server that another device got than was granted is counted there, and held nowhere."""
    await broker.set_policy(TYPE, {"holds": "until_seen"})

    async def snapshot(sequence: int, used: tuple[int, ...], share: dict[str, int]) -> None:
        await asyncio.sleep(0.002)  # a release of the same millisecond would not end
        started = await broker.watch(TYPE, "lab", 1, 5.0)
        assert started is not None
        shares = {server: {("h1", name): n for name, n in share.items()} for server in ["s"]}
        report = SourceReport(sequence, [gpu_host(1000, 1000, used=used)], shares, True)
        assert await broker.apply(TYPE, "lab", 1, started.begun, report) is not None

    await snapshot(1, (0, 0), {})
    assert await grant(broker, "d", (600,), (0,)) is not None
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s",))
    await snapshot(2, (0, 600), {"GPU/1": 600})
    host = await broker.host(TYPE, "h1")
    assert (host.device_held, host.device_free) == ({}, {"GPU/0": 1000, "GPU/1": 400})
    assert (await broker.job_hold(TYPE, "d")).seen == {"h1": {"GPU/0": 600}}
    assert await audit(client, TYPE) == []
    await snapshot(3, (0, 0), {})
    assert await held(broker) == {"GPU/0": 600}
    await broker.transition(TYPE, "d", Status.DONE)
    await snapshot(4, (0, 0), {})
    assert await held(broker) == {}
    assert await audit(client, TYPE) == []


async def test_the_audit_finds_damaged_holds_of_devices_and_repair_mends_them(
    broker: Broker, client: Redis
) -> None:
    """Device by device, what hosts have as held is what the jobs' holds add up to."""
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "d", (600,), (1,)) is not None
    await client.hset(KEYS.of("host", "h1"), "held:GPU/0", "600")
    await client.hdel(KEYS.of("host", "h1"), "held:GPU/1")
    (finding,) = await audit(client, TYPE)
    assert "has GPU/0 600 held but its jobs hold GPU/1 600" in str(finding)
    await broker.repair(TYPE, [finding])
    assert await held(broker) == {"GPU/1": 600}
    assert await audit(client, TYPE) == []
    await client.hset(KEYS.of("job", "d"), "devices", '[{"GPU":[0]}]')
    (finding,) = await audit(client, TYPE)
    assert "holds h1/GPU/1, a device that its hash does not name" in str(finding)


async def test_a_host_with_devices_is_refused_while_an_older_notifier_serves(
    broker: Broker, client: Redis
) -> None:
    """A notifier that would count a device as a resource of its own must be upgraded first."""
    now = round(await broker.runner.now() * 1000)
    await client.hset("rqb:notifiers", "old", f'{{"reported":{now},"types":[]}}')
    with pytest.raises(errors.OlderNotifiers, match="does not know the devices of this host"):
        await broker.set_host(TYPE, gpu_host(1000))
    await broker.set_host(TYPE, Host("h1", {"GPU": 1000}))


async def test_running_holds_tell_their_devices(broker: Broker) -> None:
    """What the planner reads of a running job has the devices that come back when it ends."""
    await broker.set_host(TYPE, gpu_host(1000, 1000))
    assert await grant(broker, "d", (400, 400), (1,), (0,)) is not None
    _, (hold,) = await broker.running_holds(TYPE, Status.GRANTED)
    assert hold.amounts == {"h1": {"GPU": 800, "GPU/0": 400, "GPU/1": 400}}
    assert (await broker.changed_holds(TYPE, "0-1")).is_known is False
