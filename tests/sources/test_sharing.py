"""Shares of watched servers: they agree with the `used` of the same snapshot, to the unit."""

from __future__ import annotations

from uuid import uuid4

import pytest
from standins.http_servers import Server
from standins.placement_server import Placement

from rq_broker.sources.placement import PlacementSource

SIZE = {"VCPU": 8, "MEMORY_MB": 4096}


async def test_a_watched_server_has_its_share(
    placement: Placement, source: PlacementSource
) -> None:
    """A watched server is listed with what it has of its host; one that has nothing, as empty."""
    provider = placement.add("cn1", **SIZE)
    server, other, absent = (str(uuid4()) for _ in range(3))
    placement.boot(server, **{provider: {"VCPU": 2, "MEMORY_MB": 512}})
    placement.boot(other, **{provider: {"VCPU": 1}})
    snapshot = await source.snapshot(frozenset({server, absent, "../resource_providers"}))
    assert snapshot.hosts[0].used == {"VCPU": 3, "Memory": 512}
    share = {("cn1", "VCPU"): 2, ("cn1", "Memory"): 512}
    assert snapshot.consumers == {server: share, absent: {}, "../resource_providers": {}}


@pytest.mark.parametrize(
    ("before", "after", "newcomer"),
    [
        ({}, {"cn1": 2}, 0),
        ({}, {"cn1": 7}, 0),
        ({"cn1": 2}, {}, 0),
        ({"cn1": 7}, {"cn2": 7}, 0),
        ({"cn1": 2}, {}, 2),
        ({"cn1": 7}, {}, 7),
    ],
    ids=["boot", "fill", "delete", "move", "swap", "swap all"],
)
async def test_used_and_shares_agree_at_every_interleaving(
    placement: Placement,
    source: PlacementSource,
    proxy: Server,
    *,
    before: dict[str, int],
    after: dict[str, int],
    newcomer: int,
) -> None:
    """Before whichever request a server boots, goes or moves, used − share is the others' part."""
    providers = {name: placement.add(name, **SIZE) for name in ("cn1", "cn2")}
    placement.boot(str(uuid4()), **{providers["cn1"]: {"VCPU": 1}})

    def allocate(server: str, places: dict[str, int]) -> None:
        wanted = {providers[name]: {"VCPU": amount} for name, amount in places.items()}
        placement.boot(server, **wanted)

    async def others_use(server: str) -> tuple[int, int, dict[str, int]]:
        snapshot = await source.snapshot(frozenset({server}))
        share = {place[0]: amount for place, amount in snapshot.consumers[server].items()}
        used = {host.name: host.used["VCPU"] for host in snapshot.hosts}
        return used["cn1"] - share.get("cn1", 0), used["cn2"] - share.get("cn2", 0), share

    moment = -1
    while moment < len(proxy.log):
        moment += 1
        server, other = str(uuid4()), str(uuid4())
        if before:
            allocate(server, before)
        assert await others_use(server) == (1, 0, before)
        proxy.log.clear()

        def strike(_path: str, server: str = server, other: str = other, at: int = moment) -> None:
            if len(proxy.log) == at + 1:
                placement.delete(server) if newcomer else allocate(server, after)
                allocate(other, {"cn1": newcomer} if newcomer else {})

        proxy.hook = strike
        result = await others_use(server)
        proxy.hook = None
        assert result[:2] in [(1, 0), (1 + newcomer, 0)]
        if moment < len(proxy.log):
            assert moment > 0 or result == (1 + newcomer, 0, after)
            assert await others_use(server) == (1 + newcomer, 0, after)
        placement.delete(server)
        placement.delete(other)
    assert moment >= 2


async def test_watching_costs_nothing_while_all_is_quiet(
    placement: Placement, source: PlacementSource, proxy: Server
) -> None:
    """However many servers are watched, allocations are read only of hosts that changed."""
    servers: list[str] = []
    for number in range(4):
        provider = placement.add(f"cn{number}", **SIZE)
        servers += (str(uuid4()), str(uuid4()))
        for server in servers[-2:]:
            placement.boot(server, **{provider: {"VCPU": 4}})
    watch = frozenset(servers)
    first = await source.snapshot(watch)
    assert all(sum(share.values()) == 4 for share in first.consumers.values())
    assert sum(path.endswith("/allocations") for path in proxy.log) == 4
    for server in servers[::2]:
        placement.delete(server)
    await source.snapshot(watch)
    proxy.log.clear()
    quiet = await source.snapshot(watch)
    assert [len(quiet.consumers[server]) for server in servers] == [0, 1] * 4
    assert len(proxy.log) == 2
