"""Hypervisors from OpenStack Placement; Nova says which are up, and how aggregates are named.

Sharing providers (a common pool of DISK_GB) are left out, and so is what they share. A host
has the traits of all providers of its tree: Nova enforces them at the boot, wherever they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from math import inf
from typing import Any
from urllib.parse import quote

from rq_broker.domain.capacity import Host
from rq_broker.sources.cloud_settings import region_of
from rq_broker.sources.failures import Faulty, Misconfigured, Missing, Unreachable
from rq_broker.sources.nova import Nova
from rq_broker.sources.openstack import Service, run_all
from rq_broker.sources.providers import Provider, Tree, amounts_of, trees
from rq_broker.sources.source import Source, SourceSnapshot, next_sequence
from rq_broker.sources.trimming import trimmed

PLACEMENT_API = "1.35"
"""Microversion of the requests, that of the Train release: older services refuse them."""
COMPUTE_API = "2.53"
"""Microversion of Nova's: the first in which a hypervisor has the UUID that Placement uses."""
USABLE = "!COMPUTE_STATUS_DISABLED,!MISC_SHARES_VIA_AGGREGATE"
"""Traits that a provider must not have: disabled hosts and sharing providers are left out."""
REREAD_PROVIDERS = 16
"""Full providers that each snapshot reads again although nothing says that they changed. They are
taken in turn, so among 1,600 full ones a deletion that Placement does not show is seen within 100
snapshots; each costs one request."""

MAX_CONNECTIONS = 256
"""Requests to Placement at the same time, each of which takes a thread."""

Summaries = Mapping[str, Any]
"""UUID of a provider with room → its summary in GET /allocation_candidates."""
Shares = dict[str, dict[tuple[str, str], int]]
"""Consumer → (host, resource) → amount."""


class PlacementSource(Source):
    """Reads from Placement only what may have changed since the last snapshot.

    The `generation` of a provider shows whether its inventories or aggregates have changed, and one
    GET /allocation_candidates has the usages of all providers with room. So a quiet snapshot takes
    four requests, two of them to Nova, and 20 where many hosts are full, however many consumers are
    watched; each changed provider adds two to four. The summaries have the traits as well; those of
    a provider without room are read once for each generation.

    `used` and `consumers` agree, without a lock. While a consumer is watched, a changed provider is
    read by GET /resource_providers/{uuid}/allocations, and both are taken from that one answer.
    They stay right while a `used` that is read later, and a generation that is listed after it, are
    the same: see Provider.consumers_are_current.
    """

    naming = "uuid"

    def __init__(
        self,
        *,
        cloud: str | None = None,
        region: str | None = None,
        nova: bool = True,
        probe: Sequence[str] = ("VCPU",),
        connections: int = 8,
        timeout: float = 10.0,
        deadline: float = 120.0,
    ) -> None:
        """Find the cloud as the OpenStack command line does; nothing is sent yet.

        Args:
            cloud: Name of the cloud in clouds.yaml; the OS_* variables where left out.
            region: Region of the cloud; its own where left out.
            nova: Whether Nova is asked which hosts are up, and for the names of aggregates.
            probe: Resource classes of which every host has at least one.
            connections: Requests to Placement at the same time.
            timeout: Seconds that Keystone, Placement or Nova may be silent within one request.
            deadline: Seconds that one snapshot may take.

        Raises:
            Misconfigured: There is no such cloud, its login is incomplete, or an argument is wrong.
        """
        _check_arguments(probe, connections, timeout, deadline, nova=nova)
        cloud_region = region_of(cloud, region)
        self.placement = Service(
            cloud_region,
            "placement",
            PLACEMENT_API,
            role="admin or service",
            timeout=timeout,
            connections=connections,
        )
        compute = Service(
            cloud_region, "compute", COMPUTE_API, role="admin", timeout=timeout, connections=2
        )
        self.nova = Nova(compute) if nova else None
        self.probe = tuple(probe)
        self.deadline = deadline
        self._providers: dict[str, Provider] = {}
        self._round = 0

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """Read every provider; after a failure the next call goes on with what was read before."""
        sequence = next_sequence()
        try:
            async with asyncio.timeout(self.deadline):
                return await self._snapshot(watch, sequence)
        except TimeoutError:
            self.placement.renew()
            raise Unreachable(f"placement took longer than {self.deadline:g} s") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Faulty(f"placement answered in an unknown shape: {error!r}") from error

    def recall(self, hosts: Sequence[Host]) -> None:
        """Keep the hosts of the last snapshot, and their aggregates, until Nova answers."""
        if self.nova:
            self.nova.recall(hosts)

    @property
    def requests_sent(self) -> int:
        """Number of requests so far, without those of logins."""
        return self.placement.requests + (self.nova.service.requests if self.nova else 0)

    async def close(self) -> None:
        """Close the connections to both services."""
        self.placement.close()
        if self.nova:
            self.nova.service.close()

    async def _snapshot(self, watch: frozenset[str], sequence: int) -> SourceSnapshot:
        self._round += 1
        # 1. Read the summaries, then the list of providers; meanwhile ask Nova.
        (summaries, listed), _ = await asyncio.gather(self._read_providers(), self._read_nova())
        # 2. Read capacity and aggregates of the providers whose generation moved, and the traits of
        #    those whose summary does not have them.
        changed = self._remember(listed)
        await run_all(self._read_inventories, changed)
        self._use_traits(summaries, {provider.uuid for provider, _ in changed})
        await run_all(self._read_traits, self._without_traits(summaries))
        # 3. Take `used` from the summaries, and read the providers they leave out. While consumers
        #    are watched, also read those whose consumers may have changed.
        self._use_summaries(summaries)
        unlisted = self._left_out_by(summaries)
        if watch:
            await run_all(self._read_allocations, self._with_uncertain_consumers(unlisted))
        else:
            await run_all(self._read_usages, unlisted)
        # 4. Sum up each tree of providers that takes work.
        all_trees = list(trees(self._providers))
        if self.nova:
            self.nova.settle(all_trees)
        open_trees = [tree for tree in all_trees if not self.nova or self.nova.takes_work(tree)]
        hosts, left_out = trimmed(
            self.nova.host(tree) if self.nova else tree.host() for tree in open_trees
        )
        return SourceSnapshot(
            hosts,
            consumers=_shares(open_trees, watch),
            left_out=left_out,
            unread=self.nova.unread() if self.nova else {},
            out_of_service=self.nova.out_of_service(all_trees) if self.nova else {},
            sequence=sequence,
        )

    # 1. What there is

    async def _read_providers(self) -> tuple[Summaries, Sequence[Mapping[str, Any]]]:
        # The list comes second: see Provider.consumers_are_current.
        summaries = await self._read_summaries()
        answer = await self.placement.get(f"/resource_providers?required={USABLE}")
        return summaries, list(answer["resource_providers"])

    async def _read_summaries(self) -> Summaries:
        summaries: dict[str, Any] = {}
        for resource in self.probe:
            path = f"/allocation_candidates?resources={quote(resource)}:1"
            summaries |= (await self.placement.get(path))["provider_summaries"]
        return summaries

    async def _read_nova(self) -> None:
        if self.nova:
            roots = {provider.root for provider in self._providers.values()}
            await self.nova.read(roots & self._providers.keys())

    # 2. What it can give

    def _remember(self, listed: Iterable[Mapping[str, Any]]) -> list[tuple[Provider, int]]:
        """Keep the listed providers and drop the others; return the changed, with generation."""
        previous, self._providers = self._providers, {}
        changed = []
        for entry in listed:
            provider = previous.get(entry["uuid"]) or Provider(entry["uuid"])
            self._providers[provider.uuid] = provider
            provider.name, provider.root = entry["name"], entry["root_provider_uuid"]
            if provider.generation != entry["generation"]:
                provider.used_round = 0
                changed.append((provider, entry["generation"]))
        return changed

    async def _read_inventories(self, change: tuple[Provider, int]) -> None:
        provider, generation = change
        path = f"/resource_providers/{provider.uuid}"
        try:
            inventories = await self.placement.get(f"{path}/inventories")
            aggregates = await self.placement.get(f"{path}/aggregates")
        except Missing:
            del self._providers[provider.uuid]
            return
        provider.set_inventories(inventories["inventories"])
        provider.aggregates = tuple(aggregates["aggregates"])
        # The listed generation, not the answers': if it moved in between, the next list shows it.
        provider.generation = generation

    def _use_traits(self, summaries: Summaries, changed: Set[str]) -> None:
        """Take the traits from the summaries, which are older than the list of generations."""
        for uuid in summaries.keys() & self._providers.keys():
            provider = self._providers[uuid]
            provider.traits = frozenset(summaries[uuid]["traits"])
            provider.traits_generation = None if uuid in changed else provider.generation

    def _without_traits(self, summaries: Summaries) -> list[Provider]:
        return [
            provider
            for uuid, provider in self._providers.items()
            if uuid not in summaries and provider.traits_generation != provider.generation
        ]

    async def _read_traits(self, provider: Provider) -> None:
        try:
            answer = await self.placement.get(f"/resource_providers/{provider.uuid}/traits")
        except Missing:
            del self._providers[provider.uuid]
            return
        provider.traits = frozenset(answer["traits"])
        provider.traits_generation = provider.generation

    # 3. What is used, and by which consumers

    def _use_summaries(self, summaries: Summaries) -> None:
        for uuid in summaries.keys() & self._providers.keys():
            resources = summaries[uuid]["resources"]
            used = {resource: figures["used"] for resource, figures in resources.items()}
            self._providers[uuid].set_used(used, self._round)

    def _left_out_by(self, summaries: Summaries) -> list[Provider]:
        """Choose the providers without a summary that are read one by one.

        Most providers without a summary are full, and were full before. Read are those that
        changed; those that are not full (an operator's `max_allocation_candidates` cuts the list of
        summaries short); and of the full ones the REREAD_PROVIDERS that were read longest ago,
        because a deletion on one that is cut off may move no generation.
        """
        certain: list[Provider] = []
        full: list[Provider] = []
        for tree in trees(self._providers):
            missing = [provider for provider in tree.providers if provider.uuid not in summaries]
            unchanged = all(provider.used_round for provider in missing)
            is_full = tree.is_full(amounts_of(dict.fromkeys(self.probe, 0)))
            (full if is_full and unchanged else certain).extend(missing)
        full.sort(key=lambda provider: provider.used_round)
        return certain + full[:REREAD_PROVIDERS]

    def _with_uncertain_consumers(self, providers: Iterable[Provider]) -> Iterable[Provider]:
        """Return these providers and those whose consumers may have changed, each once."""
        by_uuid = {provider.uuid: provider for provider in providers}
        for uuid, provider in self._providers.items():
            if not provider.consumers_are_current():
                by_uuid[uuid] = provider
        return by_uuid.values()

    async def _read_usages(self, provider: Provider) -> None:
        try:
            answer = await self.placement.get(f"/resource_providers/{provider.uuid}/usages")
        except Missing:
            del self._providers[provider.uuid]
            return
        provider.set_used(answer["usages"], self._round)

    async def _read_allocations(self, provider: Provider) -> None:
        path = f"/resource_providers/{provider.uuid}/allocations"
        try:
            answer = await self.placement.get(path)
        except Missing:
            del self._providers[provider.uuid]
            return
        generation = answer["resource_provider_generation"]
        provider.set_allocations(answer["allocations"], generation, self._round)


# 4. The shares of watched consumers


def _shares(open_trees: Iterable[Tree], watch: frozenset[str]) -> Shares:
    shares: Shares = {consumer: {} for consumer in watch}
    for tree in open_trees:
        for provider in tree.providers:
            if not any(provider.used.values()):
                continue  # its consumers are gone, and were not read again
            for consumer in watch & provider.consumers.keys():
                share = shares[consumer]
                for resource, amount in provider.consumers[consumer].items():
                    place = (tree.root.name, tree.device_of(provider, resource))
                    share[place] = share.get(place, 0) + amount
    return shares


def _check_arguments(
    probe: Any, connections: object, timeout: float, deadline: float, *, nova: object
) -> None:
    """Raise Misconfigured for a value of the table that would fail later, or never."""
    listed = isinstance(probe, Sequence) and not isinstance(probe, str)
    if not (listed and probe and all(isinstance(each, str) and each for each in probe)):
        raise Misconfigured(f"probe must be a list of resource classes, not {probe!r}")
    if type(nova) is not bool:
        raise Misconfigured(f"nova must be true or false, not {nova!r}")
    if type(connections) is not int or not 1 <= connections <= MAX_CONNECTIONS:
        raise Misconfigured(f"connections must be 1 to {MAX_CONNECTIONS}, not {connections!r}")
    for name, seconds in (("timeout", timeout), ("deadline", deadline)):
        if type(seconds) not in (int, float) or not 0 < seconds < inf:
            raise Misconfigured(f"{name} must be a number of seconds, not {seconds!r}")
