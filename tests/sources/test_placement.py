"""The real Placement: what Nova would write is what the broker reads."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from rq_broker.sources import Missing, SourceFailed, SourceSnapshot
from rq_broker.sources.placement import PlacementSource
from tests.sources.placement_server import Placement
from tests.sources.servers import FAULTS, Server

SIZE = {"VCPU": 8, "MEMORY_MB": 4096}
DISABLED = "COMPUTE_STATUS_DISABLED"


def host(snapshot: SourceSnapshot, name: str = "cn1"):
    return next(one for one in snapshot.hosts if one.name == name)


async def test_figures_are_those_of_placement(placement: Placement, source: PlacementSource):
    """Capacity is (total − reserved) × ratio, floored, under our words; used is what is booted."""
    provider = placement.add("cn1", VCPU=8)
    placement.call("PUT", "/resource_classes/CUSTOM_FPGA")
    placement.inventory(
        provider,
        {
            "VCPU": {"total": 9, "reserved": 2, "allocation_ratio": 1.5},
            "MEMORY_MB": {"total": 4096, "reserved": 512},
            "DISK_GB": {"total": 100},
            "CUSTOM_FPGA": {"total": 2},
        },
    )
    placement.boot(str(uuid4()), **{provider: {"VCPU": 3, "MEMORY_MB": 1024, "CUSTOM_FPGA": 1}})
    found = host(await source.snapshot())
    assert found.capacity == {"VCPU": 10, "Memory": 3584, "Disk": 100, "CUSTOM_FPGA": 2}
    assert found.used == {"VCPU": 3, "Memory": 1024, "Disk": 0, "CUSTOM_FPGA": 1}
    assert not found.held


async def test_max_unit_is_told_where_it_binds(placement: Placement, source: PlacementSource):
    """An instance may be smaller than the host's capacity allows; only then is it listed."""
    provider = placement.add("cn1", **SIZE)
    placement.inventory(
        provider,
        {"VCPU": {"total": 8, "allocation_ratio": 4.0, "max_unit": 8}, "MEMORY_MB": {"total": 64}},
    )
    assert [host.max_unit for host in (await source.snapshot()).hosts] == [{"VCPU": 8}]


async def test_disabled_host_is_out_until_enabled(placement: Placement, source: PlacementSource):
    """COMPUTE_STATUS_DISABLED takes a host out, with its children, and its absence brings it in."""
    provider = placement.add("cn1", **SIZE)
    placement.add("cn1-gpu", parent=provider, VGPU=2)
    placement.traits(provider, DISABLED)
    assert (await source.snapshot()).hosts == ()
    placement.traits(provider)
    assert host(await source.snapshot()).capacity == {"VCPU": 8, "Memory": 4096, "VGPU": 2}


async def test_full_host_stays_in_sight(placement: Placement, source: PlacementSource):
    """A full host is no candidate for Placement, yet its capacity and used are told."""
    provider = placement.add("cn1", **SIZE)
    placement.boot(str(uuid4()), **{provider: SIZE})
    for _ in range(2):
        found = host(await source.snapshot())
        assert found.free == {"VCPU": 0, "Memory": 0}


async def test_boot_and_delete_are_seen(placement: Placement, source: PlacementSource):
    """A deletion that moves no generation is seen, on a host with room and on a full one."""
    for wanted in ({"VCPU": 2, "MEMORY_MB": 1}, SIZE):
        provider = placement.add(f"cn{wanted['VCPU']}", **SIZE)
        server = str(uuid4())
        placement.boot(server, **{provider: wanted})
        assert host(await source.snapshot(), f"cn{wanted['VCPU']}").used["VCPU"] == wanted["VCPU"]
        placement.delete(server)
        assert host(await source.snapshot(), f"cn{wanted['VCPU']}").used["VCPU"] == 0


async def test_quiet_cloud_costs_three_requests(
    placement: Placement, source: PlacementSource, proxy: Server
):
    """A snapshot without change asks two things of Placement; each changed host adds two."""
    providers = [placement.add(f"cn{number}", **SIZE) for number in range(12)]
    await source.snapshot()
    proxy.log.clear()
    before = source.placement.requests, source.nova.requests
    await source.snapshot()
    assert len(proxy.log) == 2
    assert (source.placement.requests, source.nova.requests) == (before[0] + 2, before[1] + 1)
    placement.boot(str(uuid4()), **{providers[3]: {"VCPU": 1}})
    proxy.log.clear()
    await source.snapshot()
    assert len(proxy.log) == 4


async def test_full_host_that_changes_is_read_at_once(
    placement: Placement, source: PlacementSource, monkeypatch: pytest.MonkeyPatch
):
    """A boot on a host without a VCPU left is seen, though no candidate tells of it."""
    monkeypatch.setattr("rq_broker.sources.placement.REREAD", 0)
    provider = placement.add("cn1", **SIZE)
    placement.boot(str(uuid4()), **{provider: {"VCPU": 8}})
    await source.snapshot()
    placement.boot(str(uuid4()), **{provider: {"MEMORY_MB": 100}})
    assert host(await source.snapshot()).used == {"VCPU": 8, "Memory": 100}


async def test_full_hosts_are_read_again_in_turn(
    placement: Placement, source: PlacementSource, proxy: Server, monkeypatch: pytest.MonkeyPatch
):
    """Of many full hosts each snapshot looks at a few, until all were looked at again."""
    monkeypatch.setattr("rq_broker.sources.placement.REREAD", 2)
    for number in range(4):
        provider = placement.add(f"cn{number}", **SIZE)
        placement.boot(str(uuid4()), **{provider: SIZE})
    await source.snapshot()
    proxy.log.clear()
    await source.snapshot()
    await source.snapshot()
    read = [path for path in proxy.log if path.endswith("/usages")]
    assert len(read) == len(set(read)) == 4


async def test_cut_candidates_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An operator's max_allocation_candidates cuts the answer short; the figures stay true."""
    placement = Placement(tmp_path, max_allocation_candidates="1")
    monkeypatch.setenv("OS_AUTH_TYPE", "admin_token")
    monkeypatch.setenv("OS_TOKEN", "admin")
    monkeypatch.setenv("OS_ENDPOINT", placement.url)
    source = PlacementSource()
    servers = {placement.add(f"cn{number}", **SIZE): str(uuid4()) for number in range(3)}
    for provider, server in servers.items():
        placement.boot(server, **{provider: SIZE})
    assert {one.used["VCPU"] for one in (await source.snapshot()).hosts} == {8}
    for server in servers.values():
        placement.delete(server)
    assert {one.used["VCPU"] for one in (await source.snapshot()).hosts} == {0}
    await source.close()
    placement.stop()


async def test_children_add_to_their_host(placement: Placement, source: PlacementSource):
    """A host offers what its child providers have; one instance at most what one of them has."""
    root = placement.add("cn1", **SIZE)
    cards = [placement.add(f"cn1-gpu{number}", parent=root, VGPU=4) for number in range(2)]
    server = str(uuid4())
    placement.boot(server, **{root: {"VCPU": 1}, cards[0]: {"VGPU": 3}})
    snapshot = await source.snapshot(frozenset({server}))
    assert [one.name for one in snapshot.hosts] == ["cn1"]
    assert host(snapshot).capacity["VGPU"] == 8
    assert host(snapshot).used == {"VCPU": 1, "Memory": 0, "VGPU": 3}
    assert [host.max_unit for host in snapshot.hosts] == [{"VGPU": 4}]
    assert snapshot.consumers == {server: {("cn1", "VCPU"): 1, ("cn1", "VGPU"): 3}}


async def test_sharing_provider_is_no_host(placement: Placement, source: PlacementSource):
    """A shared disk pool is not taken for a hypervisor."""
    placement.traits(placement.add("pool", DISK_GB=1000), "MISC_SHARES_VIA_AGGREGATE")
    assert (await source.snapshot()).hosts == ()


async def test_aggregates_have_novas_names(
    placement: Placement, source: PlacementSource, nova_answers: dict[str, object]
):
    """Nova's name where it knows the UUID, else the UUID; names stay while Nova is away."""
    known, unknown = str(uuid4()), str(uuid4())
    placement.aggregates(placement.add("cn1", **SIZE), known, unknown)
    assert host(await source.snapshot()).aggregates == {known, unknown}
    nova_answers["/os-aggregates"] = {
        "aggregates": [{"id": 1, "name": "host1", "uuid": known, "hosts": ["cn1"], "metadata": {}}]
    }
    assert host(await source.snapshot()).aggregates == {"host1", unknown}
    nova_answers.clear()
    assert host(await source.snapshot()).aggregates == {"host1", unknown}


async def test_nova_that_hangs_holds_nothing_up(
    placement: Placement,
    source: PlacementSource,
    nova: Server,
    nova_answers: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
):
    """A snapshot waits for names a while, then does without; and has them when Nova is back."""
    known = str(uuid4())
    placement.aggregates(placement.add("cn1", **SIZE), known)
    nova_answers["/os-aggregates"] = {"aggregates": [{"name": "host1", "uuid": known}]}
    nova.fault, source.deadline = "silent", 30
    monkeypatch.setattr("rq_broker.sources.placement.NAMING", 0.1)
    assert host(await source.snapshot()).aggregates == {known}
    nova.fault = ""
    monkeypatch.setattr("rq_broker.sources.placement.NAMING", 20)
    assert host(await source.snapshot()).aggregates == {"host1"}


async def test_older_snapshot_has_the_lower_sequence(source: PlacementSource):
    """Snapshots are numbered by when they began."""
    first, second = await source.snapshot(), await source.snapshot()
    assert first.sequence < second.sequence


async def test_write_that_lost_a_generation_conflict_leaves_no_trace(
    placement: Placement, source: PlacementSource
):
    """Of two that write by one generation the second is refused, and the first's figures count."""
    provider = placement.add("cn1", **SIZE)
    path = f"/resource_providers/{provider}"
    body = {"resource_provider_generation": placement.call("GET", path)["generation"]}
    await source.snapshot()
    placement.inventory(provider, {"VCPU": {"total": 5}})
    late = placement.client.put(f"{path}/inventories", json=body | {"inventories": {}})
    assert late.status_code == 409
    assert host(await source.snapshot()).capacity == {"VCPU": 5}


async def test_change_during_a_snapshot_is_in_the_next(
    placement: Placement, source: PlacementSource, proxy: Server
):
    """An inventory that changes between the list and its own read is never missed for good."""
    provider = placement.add("cn1", **SIZE)

    def grow(path: str) -> None:
        if path.endswith("/aggregates"):
            proxy.hook = None
            placement.inventory(provider, {"VCPU": {"total": 99}})

    proxy.hook = grow
    await source.snapshot()
    assert host(await source.snapshot()).capacity == {"VCPU": 99}


@pytest.mark.parametrize("moment", ["/inventories", "/usages", "/allocations"])
async def test_host_that_goes_during_a_snapshot_is_left_out(
    placement: Placement, source: PlacementSource, proxy: Server, moment: str
):
    """A provider deleted between two reads is no failure."""
    placement.add("cn1", **SIZE)
    provider = placement.add("cn2", **SIZE)
    server = str(uuid4())
    placement.boot(server, **{provider: SIZE})

    def vanish(path: str) -> None:
        if path.endswith(moment) and provider in path:
            proxy.hook = None
            placement.delete(server)
            placement.call("DELETE", f"/resource_providers/{provider}")

    proxy.hook = vanish
    snapshot = await source.snapshot(frozenset({server} if moment == "/allocations" else ()))
    assert proxy.hook is None
    assert [one.name for one in snapshot.hosts] == ["cn1"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_is_named_and_the_next_snapshot_is_whole(
    placement: Placement, source: PlacementSource, proxy: Server, fault: str
):
    """Each way Placement can fail has its cause, and leaves nothing behind when it is over."""
    placement.add("cn1", **SIZE)
    expected = (await source.snapshot()).hosts
    proxy.fault = fault
    if fault == "silent":
        source.placement._timeout = 0.1
    with pytest.raises(SourceFailed) as failed:
        await source.snapshot()
    assert failed.value.cause == FAULTS[fault]
    assert str(failed.value).startswith("placement")
    proxy.fault, source.placement._timeout = "", 60
    assert (await source.snapshot()).hosts == expected


async def test_failure_halfway_keeps_what_was_read(
    placement: Placement, source: PlacementSource, proxy: Server
):
    """A first look that fails in the middle does not begin from nothing again."""
    for number in range(8):
        placement.add(f"cn{number}", **SIZE)

    def fail(_path: str) -> None:
        if sum("/aggregates" in one for one in proxy.log) > 6:
            proxy.fault = "500"

    proxy.hook = fail
    with pytest.raises(SourceFailed):
        await source.snapshot()
    proxy.fault, proxy.hook = "", None
    proxy.log.clear()
    assert len((await source.snapshot()).hosts) == 8
    assert len(proxy.log) < 2 + 2 * 8


async def test_placement_that_was_down_is_found_again(
    placement: Placement, source: PlacementSource
):
    """The process killed and started again, with a boot lost to nobody."""
    provider = placement.add("cn1", **SIZE)
    await source.snapshot()
    placement.boot(str(uuid4()), **{provider: {"VCPU": 5}})
    placement.stop()
    try:
        with pytest.raises(SourceFailed):
            await source.snapshot()
    finally:
        placement.start()
    assert host(await source.snapshot()).used["VCPU"] == 5


async def test_endless_answer_ends_at_the_deadline(
    placement: Placement, source: PlacementSource, proxy: Server
):
    """Requests that hang are given up at the deadline, and starve none that come after them."""
    placement.add("cn1", **SIZE)
    source.deadline, proxy.fault = 0.1, "silent"
    for _ in range(3):
        with pytest.raises(SourceFailed, match="longer than"):
            await source.snapshot()
    source.deadline, proxy.fault = 30, ""
    assert len((await source.snapshot()).hosts) == 1


async def test_wrong_address_says_so(source: PlacementSource, proxy: Server):
    """A path that should exist and does not is a failure, not an empty cloud."""
    proxy.answer = lambda _path, _headers, _body: (404, {}, b"{}")
    with pytest.raises(Missing, match="404"):
        await source.snapshot()
