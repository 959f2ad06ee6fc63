"""Devices in the planner: reservations, forecasts, reasons, and where instances are placed."""

from __future__ import annotations

import pytest

from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.planning import Hold
from rq_broker.domain.policy import Policy
from rq_broker.planner import explain, forecast_line, plan
from rq_broker.planner.packing import fragmentation
from rq_broker.planner.packing.devices import free_when_empty
from tests.planner.forecasting.lines import history, line_of
from tests.planner.oracle import demand, instance, reserved, snapshot_of, waiting


def gpu_host(name: str, *free: int, cpus: int = 16) -> Host:
    """Build a host with GPUs of 1,000, of which so much is free."""
    capacity = {"GPU": [1000] * len(free), "VCPU": cpus}
    return new_host(name, {"capacity": capacity, "used": {"GPU": [1000 - n for n in free]}})


def hold(name: str, ends: float, host: str, **devices: int) -> Hold:
    """Build what a job holds of GPUs of a host: `hold("a", 1100.0, "h1", GPU_0=600)`."""
    amounts = {device.replace("_", "/"): amount for device, amount in devices.items()}
    return Hold(name, "lab", 0.0, ends, {host: {"GPU": sum(amounts.values()), **amounts}})


def held_host(name: str, *held: int) -> Host:
    """Build a host with GPUs of 1,000, of which so much is held."""
    sizes = (1000,) * len(held)
    devices = {f"GPU/{n}": amount for n, amount in enumerate(held) if amount}
    return Host(
        name,
        {"GPU": 1000 * len(held)},
        {},
        {"GPU": sum(held)},
        devices={"GPU": sizes},
        device_held=devices,
    )


def test_a_reservation_waits_for_the_device_that_comes_free_first() -> None:
    """600 start when one device has them, although the sum of two has them before."""
    host = held_host("h1", 600, 900)
    holds = (
        hold("x", 1100.0, "h1", GPU_1=300),
        hold("y", 1200.0, "h1", GPU_0=600),
        hold("z", 1300.0, "h1", GPU_1=600),
    )
    wanted = waiting("a", demand(instance(GPU=600)), 1)
    snapshot = snapshot_of([host], [wanted], policy=Policy(patience=0.0), holds=holds)
    assert reserved(plan(snapshot)) == {"r1": (1200.0, {"h1"})}
    explained = explain(snapshot, "a")
    assert [hold.request_id for hold in explained.awaited] == ["x", "y"]
    assert [(lack.resource, lack.free) for lack in explained.shortfalls] == [("GPU/0", 400)]


def test_a_later_job_keeps_off_the_device_that_is_reserved() -> None:
    """Beside a reservation of one device, a job that ends late gets another one, or waits."""
    host = held_host("h1", 600, 600)
    holds = (hold("x", 1100.0, "h1", GPU_0=600), hold("y", 9000.0, "h1", GPU_1=600))
    shapes = [
        waiting("a", demand(instance(GPU=700)), 1),
        waiting("b", demand(instance(GPU=350)), 2),
    ]
    shapes.append(waiting("c", demand(instance(GPU=350)), 3))
    snapshot = snapshot_of(
        [host], shapes, policy=Policy(patience=0.0), holds=holds, history=history([5000.0] * 9)
    )
    planned = plan(snapshot)
    assert reserved(planned) == {"r1": (1100.0, {"h1"})}
    assert [(grant.head.id, grant.devices) for grant in planned.grants] == [(2, ({"GPU": (1,)},))]


def test_forecasts_wait_for_a_device() -> None:
    """In simulated futures a job starts when devices have room, not when their sum has."""
    host = held_host("h1", 600, 600)
    holds = (hold("x", 1100.0, "h1", GPU_0=600), hold("y", 1200.0, "h1", GPU_1=600))
    snapshot = snapshot_of([host], (), holds=holds, history=history([100.0] * 10))

    def p50(amount: int) -> float:
        line = line_of([waiting("a", demand(instance(GPU=amount)), 1)])
        return forecast_line(snapshot, line).of(1, 0, "r1").p50 or 0.0

    assert p50(400) == 0.0
    assert 0.0 < p50(600) < p50(2000)


def test_what_no_device_has_free_is_told() -> None:
    """A reason names the largest part of a device, and how many whole ones are free."""

    def text_of(amount: int) -> str:
        hosts = [gpu_host("h1", 400, 200), gpu_host("h2", 300, 1000, 0)]
        full = snapshot_of(hosts[:1], [waiting("a", demand(instance(GPU=amount)), 1)])
        both = snapshot_of(hosts, [waiting("a", demand(instance(GPU=amount)), 1)])
        return plan(full if amount < 1000 else both).reasons["a"].text

    assert text_of(600) == (
        "needs GPU 600 of one device; no single device has 600 free; the largest has 400 on h1"
    )
    assert text_of(2000) == (
        "needs GPU 2000, which is 2 whole devices, on one host; the most free is 1 of them on h2"
    )


def test_a_forecast_counts_whole_devices_as_a_pass_does() -> None:
    """A device with more free than it has, as after a damaged record, counts as whole in both."""
    held = {"GPU/0": -200}
    capacity, devices = {"GPU": 2000}, {"GPU": (1000, 1000)}
    host = Host("h1", capacity, {}, {"GPU": -200}, devices=devices, device_held=held)
    job = waiting("a", demand(instance(GPU=2000)), 1)
    snapshot = snapshot_of([host], [job], history=history([100.0] * 10))
    assert len(plan(snapshot).grants) == 1
    assert forecast_line(snapshot, line_of([job])).of(1, 0, "r1").p50 == 0.0


def test_no_two_states_of_hosts_ever_have_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a placer still knows by number stays true once states were forgotten to save memory."""
    monkeypatch.setattr(fragmentation, "REMEMBERED", 2)
    judge = fragmentation.Fragmentation((), {})
    rows = [free_when_empty(gpu_host("h1", *(0,) * count)) for count in range(1, 6)]
    numbers = [judge.number_of(row) for row in rows]
    assert len(set(numbers)) == len(rows)
    assert judge.number_of(rows[-1]) == numbers[-1]


def test_an_instance_goes_where_it_fragments_devices_least() -> None:
    """A part that fits exactly is filled; a job without GPUs leaves processors to the free ones."""
    hosts = [gpu_host("h1", 1000, 700), gpu_host("h2", 1000, 300), gpu_host("h3", 0, cpus=20)]
    shapes = [
        waiting("a", demand(instance(GPU=300, VCPU=1)), 1),
        waiting("b", demand(instance(VCPU=9)), 2),
        waiting("c", demand(instance(GPU=1000, VCPU=8)), 3, count=1),
    ]
    grants = plan(snapshot_of(hosts, shapes)).grants
    assert [(grant.hosts, grant.devices) for grant in grants] == [
        (("h2",), ({"GPU": (1,)},)),
        (("h3",), ()),
        (("h2",), ({"GPU": (0,)},)),
    ]


def test_different_instances_share_devices_where_some_way_exists() -> None:
    """Where the fullest device for each does not do, the search gives the first ones others."""
    host = new_host("h1", {"capacity": {"GPU": [600, 500], "NIC": [600, 500]}})
    wanted = demand(instance(GPU=500, NIC=500), instance(GPU=600), instance(NIC=600))
    (grant,) = plan(snapshot_of([host], [waiting("a", wanted, 1)])).grants
    assert grant.devices == ({"GPU": (1,), "NIC": (1,)}, {"GPU": (0,)}, {"NIC": (0,)})
