"""Hypervisors from OpenStack Placement, under Nova's names for their aggregates.

Sharing providers (a common DISK_GB pool) are left out, and what they share with them. min_unit,
step_size and traits other than COMPUTE_STATUS_DISABLED are not looked at: Nova is to judge them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rq_broker.sources import (
    Faulty,
    Missing,
    Source,
    SourceFailed,
    SourceSnapshot,
    Unreachable,
    tick,
)
from rq_broker.sources.openstack import Service, each, region_of
from rq_broker.sources.providers import Provider, amounts_of, trees

PLACEMENT_API = "1.35"
"""Microversion, of the Train release."""
COMPUTE_API = "2.41"
"""Microversion; the first in which an aggregate tells the UUID that Placement knows it by."""
USABLE = "!COMPUTE_STATUS_DISABLED,!MISC_SHARES_VIA_AGGREGATE"
NAMING = 5.0
"""Seconds that a snapshot waits for Nova's names before it does without."""
REREAD = 16
"""How many full providers each snapshot reads again although nothing says that they changed."""

Shares = dict[str, dict[tuple[str, str], int]]


class PlacementSource(Source):
    """Asks Placement only for what may have changed since the last snapshot.

    A provider's `generation` tells whether its inventories or aggregates changed; and one GET
    /allocation_candidates carries the usages of every provider with room. So a quiet snapshot is
    three requests, 19 where many hosts are full, however many consumers are watched; each changed
    provider adds two or three.

    `used` and `consumers` agree, without a lock. While anyone is watched, whoever has something of
    a changed provider is read by GET /resource_providers/{uuid}/allocations, one answer from which
    both are taken. It stays right as long as a later `used`, and a generation listed after that,
    are the same: nobody came, for that moves the generation, and so nobody can have gone.
    """

    def __init__(
        self,
        *,
        cloud: str | None = None,
        region: str | None = None,
        probe: Sequence[str] = ("VCPU",),
        connections: int = 8,
        timeout: float = 10.0,
        deadline: float = 120.0,
    ) -> None:
        """Find the cloud as the OpenStack command line does; nothing is sent yet.

        `probe`: resource classes of which every host has at least one. `timeout`: seconds that one
        request may be silent; `deadline`: seconds that a snapshot may take.
        """
        found = region_of(cloud, region)
        self.placement = Service(found, "placement", PLACEMENT_API, timeout, connections)
        self.nova = Service(found, "compute", COMPUTE_API, timeout, connections=1)
        self.probe = tuple(probe)
        self.deadline = deadline
        self._providers: dict[str, Provider] = {}
        self._names: dict[str, str] = {}
        self._round = 0

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """Look at every provider; what was read before a failure is kept for the next try."""
        sequence = tick()
        try:
            async with asyncio.timeout(self.deadline):
                return await self._snapshot(watch, sequence)
        except TimeoutError:
            self.placement.renew()
            raise Unreachable(f"placement took longer than {self.deadline:g} s") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Faulty(f"placement answered in an unknown shape: {error!r}") from error

    async def _snapshot(self, watch: frozenset[str], sequence: int) -> SourceSnapshot:
        self._round += 1
        (seen, listed), _ = await asyncio.gather(self._look(), self._name())
        await self._describe(listed)
        await self._use(seen, counting=bool(watch))
        found = list(trees(self._providers))
        return SourceSnapshot(
            hosts=tuple(tree.host(self._names) for tree in found),
            consumers=self._shares(watch),
            sequence=sequence,
        )

    async def close(self) -> None:
        """Let go of both services."""
        self.placement.close()
        self.nova.close()

    # What there is

    async def _look(self) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        seen = await self._candidates()
        return seen, await self._list()  # in this order, see Provider.is_counted

    async def _list(self) -> Sequence[Mapping[str, Any]]:
        answer = await self.placement.get(f"/resource_providers?required={USABLE}")
        return list(answer["resource_providers"])

    async def _describe(self, listed: Iterable[Mapping[str, Any]]) -> None:
        known, self._providers = self._providers, {}
        changed = []
        for entry in listed:
            provider = known.get(entry["uuid"]) or Provider(entry["uuid"])
            self._providers[provider.uuid] = provider
            provider.name, provider.root = entry["name"], entry["root_provider_uuid"]
            if provider.generation != entry["generation"]:
                provider.read = 0
                changed.append((provider, entry["generation"]))
        await each(self._read, changed)

    async def _read(self, change: tuple[Provider, int]) -> None:
        # The generation kept is the listed one: had it grown since, the next list tells.
        provider, generation = change
        path = f"/resource_providers/{provider.uuid}"
        try:
            inventories = await self.placement.get(f"{path}/inventories")
            aggregates = await self.placement.get(f"{path}/aggregates")
        except Missing:
            del self._providers[provider.uuid]
            return
        provider.stock(inventories["inventories"])
        provider.aggregates = tuple(aggregates["aggregates"])
        provider.generation = generation

    async def _name(self) -> None:
        # Names, once known, stay while Nova is away: no host leaves its aggregate by that.
        try:
            async with asyncio.timeout(NAMING):
                answer = await self.nova.get("/os-aggregates")
        except SourceFailed:
            return
        except TimeoutError:
            self.nova.renew()
            return
        self._names = {one["uuid"]: one["name"] for one in answer["aggregates"]}

    # What is used

    async def _candidates(self) -> Mapping[str, Any]:
        seen: dict[str, Any] = {}
        for resource in self.probe:
            path = f"/allocation_candidates?resources={quote(resource)}:1"
            seen |= (await self.placement.get(path))["provider_summaries"]
        return seen

    async def _use(self, seen: Mapping[str, Any], *, counting: bool) -> None:
        for uuid in seen.keys() & self._providers.keys():
            resources = seen[uuid]["resources"]
            used = {resource: one["used"] for resource, one in resources.items()}
            self._providers[uuid].use(used, self._round)
        unseen = self._unseen(seen)
        if not counting:
            await each(self._usages, unseen)
            return
        uncounted = [one for one in self._providers.values() if not one.is_counted()]
        await each(self._allocations, {one.uuid: one for one in unseen + uncounted}.values())

    def _unseen(self, seen: Mapping[str, Any]) -> list[Provider]:
        """Choose whom to read alone: mostly those left out are full, and were before.

        Read are those that changed; those that should not have been left out (an operator's
        `max_allocation_candidates` cuts the answer short); and of the full ones the few read
        longest ago, for behind such a cut a deletion that moves no generation could hide.
        """
        open_: list[Provider] = []
        full: list[Provider] = []
        for tree in trees(self._providers):
            missed = [one for one in tree.providers if one.uuid not in seen]
            known = tree.full(amounts_of(dict.fromkeys(self.probe, 0)))
            (full if known and all(one.read for one in missed) else open_).extend(missed)
        return open_ + sorted(full, key=lambda one: one.read)[:REREAD]

    async def _usages(self, provider: Provider) -> None:
        try:
            answer = await self.placement.get(f"/resource_providers/{provider.uuid}/usages")
        except Missing:
            del self._providers[provider.uuid]
            return
        provider.use(answer["usages"], self._round)

    # Whose it is

    async def _allocations(self, provider: Provider) -> None:
        path = f"/resource_providers/{provider.uuid}/allocations"
        try:
            answer = await self.placement.get(path)
        except Missing:
            del self._providers[provider.uuid]
            return
        generation = answer["resource_provider_generation"]
        provider.count(answer["allocations"], generation, self._round)

    def _shares(self, watch: frozenset[str]) -> Shares:
        shares: Shares = {consumer: {} for consumer in watch}
        for tree in trees(self._providers):
            for provider in tree.providers:
                present = watch & provider.consumers.keys() if any(provider.used.values()) else ()
                for consumer in present:
                    share = shares[consumer]
                    for resource, amount in provider.consumers[consumer].items():
                        place = (tree.root.name, resource)
                        share[place] = share.get(place, 0) + amount
        return shares
