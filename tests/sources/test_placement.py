"""The real Placement service: the broker reads what Nova would write."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from standins.http_servers import FAULTS, Server
from standins.placement_server import Placement

from rq_broker.domain.capacity import Host
from rq_broker.sources import Missing, SourceFailed, SourceSnapshot
from rq_broker.sources.placement import PlacementSource

SIZE = {"VCPU": 8, "MEMORY_MB": 4096}
DISABLED = "COMPUTE_STATUS_DISABLED"


def host_of(snapshot: SourceSnapshot, name: str = "cn1") -> Host:
    return next(host for host in snapshot.hosts if host.name == name)


async def test_figures_are_those_of_placement(
    placement: Placement, source: PlacementSource
) -> None:
    """Capacity is (total − reserved) × ratio, rounded down; used is what servers have allocated."""
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
    host = host_of(await source.snapshot())
    assert host.capacity == {"VCPU": 10, "Memory": 3584, "Disk": 100, "CUSTOM_FPGA": 2}
    assert host.used == {"VCPU": 3, "Memory": 1024, "Disk": 0, "CUSTOM_FPGA": 1}
    assert not host.held


async def test_max_unit_is_listed_where_it_is_below_the_capacity(
    placement: Placement, source: PlacementSource
) -> None:
    """One instance can have less than its host's capacity; a max_unit above that is not listed."""
    provider = placement.add("cn1", **SIZE)
    placement.inventory(
        provider,
        {"VCPU": {"total": 8, "allocation_ratio": 4.0, "max_unit": 8}, "MEMORY_MB": {"total": 64}},
    )
    assert host_of(await source.snapshot()).max_unit == {"VCPU": 8}


async def test_a_disabled_host_is_left_out_until_enabled(
    placement: Placement, source: PlacementSource
) -> None:
    """COMPUTE_STATUS_DISABLED removes a host with its children; without the trait they return."""
    provider = placement.add("cn1", **SIZE)
    placement.add_child(provider, "cn1-gpu", VGPU=2)
    placement.traits(provider, DISABLED)
    assert (await source.snapshot()).hosts == ()
    placement.traits(provider)
    assert host_of(await source.snapshot()).capacity == {"VCPU": 8, "Memory": 4096, "VGPU": 2}


async def test_a_full_host_is_reported(placement: Placement, source: PlacementSource) -> None:
    """A full host is no allocation candidate, and still has its capacity and used."""
    provider = placement.add("cn1", **SIZE)
    placement.boot(str(uuid4()), **{provider: SIZE})
    for _ in range(2):
        assert host_of(await source.snapshot()).free == {"VCPU": 0, "Memory": 0}


async def test_boot_and_deletion_are_seen(placement: Placement, source: PlacementSource) -> None:
    """A deletion that moves no generation is seen, on a host with room and on a full host."""
    for wanted in ({"VCPU": 2, "MEMORY_MB": 1}, SIZE):
        provider = placement.add(f"cn{wanted['VCPU']}", **SIZE)
        server = str(uuid4())
        placement.boot(server, **{provider: wanted})
        assert (
            host_of(await source.snapshot(), f"cn{wanted['VCPU']}").used["VCPU"] == wanted["VCPU"]
        )
        placement.delete(server)
        assert host_of(await source.snapshot(), f"cn{wanted['VCPU']}").used["VCPU"] == 0


async def test_a_quiet_cloud_costs_four_requests(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """A quiet snapshot asks Placement twice and Nova twice; each changed host adds two."""
    providers = [placement.add(f"cn{number}", **SIZE) for number in range(12)]
    await source.snapshot()
    proxy.log.clear()
    before = source.requests_sent
    await source.snapshot()
    assert len(proxy.log) == 2
    assert source.requests_sent == before + 4
    placement.boot(str(uuid4()), **{providers[3]: {"VCPU": 1}})
    proxy.log.clear()
    await source.snapshot()
    assert len(proxy.log) == 4


async def test_a_full_host_that_changes_is_read_at_once(
    placement: Placement, source: PlacementSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot on a host without a free VCPU is seen, although it is no allocation candidate."""
    monkeypatch.setattr("rq_broker.sources.placement.REREAD_PROVIDERS", 0)
    provider = placement.add("cn1", **SIZE)
    placement.boot(str(uuid4()), **{provider: {"VCPU": 8}})
    await source.snapshot()
    placement.boot(str(uuid4()), **{provider: {"MEMORY_MB": 100}})
    assert host_of(await source.snapshot()).used == {"VCPU": 8, "Memory": 100}


async def test_full_hosts_are_read_again_in_turn(
    placement: Placement, source: PlacementSource, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each snapshot reads a few of many full hosts, until all have been read again."""
    monkeypatch.setattr("rq_broker.sources.placement.REREAD_PROVIDERS", 2)
    for number in range(4):
        provider = placement.add(f"cn{number}", **SIZE)
        placement.boot(str(uuid4()), **{provider: SIZE})
    await source.snapshot()
    proxy.log.clear()
    await source.snapshot()
    await source.snapshot()
    read = [path for path in proxy.log if path.endswith("/usages")]
    assert len(read) == len(set(read)) == 4


async def test_a_limit_of_candidates_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where max_allocation_candidates cuts the answer short, the figures are still right."""
    placement = Placement(tmp_path, max_allocation_candidates="1")
    monkeypatch.setenv("OS_AUTH_TYPE", "admin_token")
    monkeypatch.setenv("OS_TOKEN", "admin")
    monkeypatch.setenv("OS_ENDPOINT", placement.url)
    source = PlacementSource()
    servers = {placement.add(f"cn{number}", **SIZE): str(uuid4()) for number in range(3)}
    for provider, server in servers.items():
        placement.boot(server, **{provider: SIZE})
    assert {host.used["VCPU"] for host in (await source.snapshot()).hosts} == {8}
    for server in servers.values():
        placement.delete(server)
    assert {host.used["VCPU"] for host in (await source.snapshot()).hosts} == {0}
    await source.close()
    placement.stop()


async def test_children_add_to_their_host(placement: Placement, source: PlacementSource) -> None:
    """A host has what its children have, each as a device of its own, and a server is on one."""
    root = placement.add("cn1", **SIZE)
    cards = [placement.add_child(root, f"cn1-gpu{number}", VGPU=4) for number in range(2)]
    server = str(uuid4())
    placement.boot(server, **{root: {"VCPU": 1}, cards[0]: {"VGPU": 3}})
    snapshot = await source.snapshot(frozenset({server}))
    assert [host.name for host in snapshot.hosts] == ["cn1"]
    assert host_of(snapshot).capacity["VGPU"] == 8
    assert host_of(snapshot).used == {"VCPU": 1, "Memory": 0, "VGPU": 3}
    assert host_of(snapshot).max_unit == {"VGPU": 4}
    assert host_of(snapshot).devices == {"VGPU": (4, 4)}
    assert host_of(snapshot).device_used == {"VGPU": (3, 0)}
    assert snapshot.consumers == {server: {("cn1", "VCPU"): 1, ("cn1", "VGPU/0"): 3}}


async def test_a_sharing_provider_is_no_host(placement: Placement, source: PlacementSource) -> None:
    """A shared disk pool is not reported as a host."""
    placement.traits(placement.add("pool", DISK_GB=1000), "MISC_SHARES_VIA_AGGREGATE")
    assert (await source.snapshot()).hosts == ()


async def test_aggregates_have_novas_names(
    placement: Placement, source: PlacementSource, nova: Server, nova_answers: dict[str, object]
) -> None:
    """An aggregate has Nova's name, else its UUID; names stay while Nova does not answer."""
    named, unnamed = str(uuid4()), str(uuid4())
    placement.aggregates(placement.add("cn1", **SIZE), named, unnamed)
    assert host_of(await source.snapshot()).aggregates == {named, unnamed}
    nova_answers["/os-aggregates"] = {
        "aggregates": [{"id": 1, "name": "host1", "uuid": named, "hosts": ["cn1"], "metadata": {}}]
    }
    assert host_of(await source.snapshot()).aggregates == {"host1", unnamed}
    nova.fault = "500"
    assert host_of(await source.snapshot()).aggregates == {"host1", unnamed}


async def test_a_nova_that_hangs_delays_no_snapshot_for_long(
    placement: Placement,
    source: PlacementSource,
    nova: Server,
    nova_answers: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A snapshot waits for names for a while only, and has them once Nova answers again."""
    aggregate = str(uuid4())
    placement.aggregates(placement.add("cn1", **SIZE), aggregate)
    nova_answers["/os-aggregates"] = {"aggregates": [{"name": "host1", "uuid": aggregate}]}
    nova.fault, source.deadline = "silent", 30
    monkeypatch.setattr("rq_broker.sources.nova.NOVA_SECONDS", 0.1)
    assert host_of(await source.snapshot()).aggregates == {aggregate}
    nova.fault = ""
    monkeypatch.setattr("rq_broker.sources.nova.NOVA_SECONDS", 20)
    assert host_of(await source.snapshot()).aggregates == {"host1"}


async def test_a_later_snapshot_has_a_higher_sequence(source: PlacementSource) -> None:
    """Snapshots are numbered by their start."""
    first, second = await source.snapshot(), await source.snapshot()
    assert first.sequence < second.sequence


async def test_a_write_refused_for_its_generation_leaves_no_trace(
    placement: Placement, source: PlacementSource
) -> None:
    """Of two writes with one generation the second is refused, and the figures are the first's."""
    provider = placement.add("cn1", **SIZE)
    path = f"/resource_providers/{provider}"
    body = {"resource_provider_generation": placement.call("GET", path)["generation"]}
    await source.snapshot()
    placement.inventory(provider, {"VCPU": {"total": 5}})
    late = placement.client.put(f"{path}/inventories", json=body | {"inventories": {}})
    assert late.status_code == 409
    assert host_of(await source.snapshot()).capacity == {"VCPU": 5}


async def test_a_change_during_a_snapshot_is_in_the_next(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """An inventory that changes between the list and its own request is in the next snapshot."""
    provider = placement.add("cn1", **SIZE)

    def grow(path: str) -> None:
        if path.endswith("/aggregates"):
            proxy.hook = None
            placement.inventory(provider, {"VCPU": {"total": 99}})

    proxy.hook = grow
    await source.snapshot()
    assert host_of(await source.snapshot()).capacity == {"VCPU": 99}


@pytest.mark.parametrize("moment", ["/inventories", "/usages", "/allocations"])
async def test_a_host_removed_during_a_snapshot_is_left_out(
    placement: Placement, source: PlacementSource, proxy: Server, moment: str
) -> None:
    """A provider that is deleted between two requests is no failure."""
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
    assert [host.name for host in snapshot.hosts] == ["cn1"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_named_and_the_next_snapshot_is_whole(
    placement: Placement, source: PlacementSource, proxy: Server, fault: str
) -> None:
    """Each fault of Placement has its cause, and leaves no trace when it has ended."""
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


async def test_a_failure_halfway_keeps_what_was_read(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """A first snapshot that fails in the middle does not start from nothing again."""
    for number in range(8):
        placement.add(f"cn{number}", **SIZE)

    def fail(_path: str) -> None:
        if sum("/aggregates" in path for path in proxy.log) > 6:
            proxy.fault = "500"

    proxy.hook = fail
    with pytest.raises(SourceFailed):
        await source.snapshot()
    proxy.fault, proxy.hook = "", None
    proxy.log.clear()
    assert len((await source.snapshot()).hosts) == 8
    assert len(proxy.log) < 2 + 2 * 8


async def test_a_placement_that_restarts_is_read_again(
    placement: Placement, source: PlacementSource
) -> None:
    """After Placement was killed and started again, a boot just before is seen."""
    provider = placement.add("cn1", **SIZE)
    await source.snapshot()
    placement.boot(str(uuid4()), **{provider: {"VCPU": 5}})
    placement.stop()
    try:
        with pytest.raises(SourceFailed):
            await source.snapshot()
    finally:
        placement.start()
    assert host_of(await source.snapshot()).used["VCPU"] == 5


async def test_requests_that_hang_end_at_the_deadline(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """Requests that hang are abandoned at the deadline, and do not block those after them."""
    placement.add("cn1", **SIZE)
    source.deadline, proxy.fault = 0.1, "silent"
    for _ in range(3):
        with pytest.raises(SourceFailed, match="longer than"):
            await source.snapshot()
    source.deadline, proxy.fault = 30, ""
    assert len((await source.snapshot()).hosts) == 1


async def test_a_wrong_address_is_a_failure(source: PlacementSource, proxy: Server) -> None:
    """A path that is missing is a failure, not an empty cloud."""
    proxy.answer = lambda _path, _headers, _body: (404, {}, b"{}")
    with pytest.raises(Missing, match="404"):
        await source.snapshot()


async def test_min_unit_and_step_size_are_listed_where_they_bind(
    placement: Placement, source: PlacementSource
) -> None:
    """Placement's own refusals: amounts below min_unit or between two steps."""
    placement.inventory(
        placement.add("cn1", **SIZE),
        {"VCPU": {"total": 8, "min_unit": 2, "step_size": 4}, "MEMORY_MB": {"total": 64}},
    )
    host = host_of(await source.snapshot())
    assert (host.min_unit, host.step_size) == ({"VCPU": 2}, {"VCPU": 4})


async def test_a_host_has_the_traits_of_its_tree(
    placement: Placement, source: PlacementSource
) -> None:
    """Traits of the root and of a child are the host's, with room and without, as they change."""
    root = placement.add("cn1", **SIZE)
    child = placement.add_child(root, "cn1_card", VGPU=1)
    placement.traits(root, "HW_CPU_X86_AVX512F")
    placement.traits(child, "HW_GPU_API_VULKAN")
    both = {"HW_CPU_X86_AVX512F", "HW_GPU_API_VULKAN"}
    assert host_of(await source.snapshot()).traits == both
    placement.boot(str(uuid4()), **{root: SIZE, child: {"VGPU": 1}})
    assert host_of(await source.snapshot()).traits == both
    placement.traits(root, "HW_CPU_X86_AVX2")
    assert host_of(await source.snapshot()).traits == {"HW_CPU_X86_AVX2", "HW_GPU_API_VULKAN"}


async def test_traits_of_full_hosts_are_read_once_a_generation(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """A full host has no summary: its traits cost a request when its generation moves."""
    root = placement.add("cn1", **SIZE)
    placement.traits(root, "HW_CPU_X86_AVX2")
    placement.boot(str(uuid4()), **{root: SIZE})
    await source.snapshot()
    assert any("/traits" in str(entry) for entry in proxy.log)
    proxy.log.clear()
    assert host_of(await source.snapshot()).traits == {"HW_CPU_X86_AVX2"}
    assert not any("/traits" in str(entry) for entry in proxy.log)
