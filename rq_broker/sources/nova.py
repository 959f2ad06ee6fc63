"""What only Nova knows of Placement's hosts: whether their computes are up, and aggregates' names.

Nova marks a host whose service an operator disables by a trait in Placement, but only while the
service is up; nothing in Placement shows a compute that died or was forced down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rq_broker.domain.capacity import Host
from rq_broker.sources.failures import Faulty, Misconfigured, SourceFailed, Unreachable
from rq_broker.sources.openstack import Service
from rq_broker.sources.providers import Tree

NOVA_SECONDS = 5.0
"""Seconds that a snapshot waits for Nova. Longer delays snapshots while Nova hangs; shorter leaves
dead computes in, and new aggregates without their names, where Nova is slow."""
NAMES = "the names of aggregates"
STATES = "which computes are up"
_PASSING = (Unreachable, Faulty)
"""Failures that end without a person. Others may last, so they keep no new host out."""


class Compute(NamedTuple):
    """One compute as Nova lists it."""

    name: str
    closed: str
    """Why it takes no work; '' if it does."""

    @classmethod
    def of(cls, hypervisor: Mapping[str, Any]) -> Compute:
        """Read one entry of the list."""
        name = hypervisor.get("hypervisor_hostname") or hypervisor["id"]
        return cls(str(name), _why_closed(hypervisor))


class Nova:
    """The last words of Nova on computes and aggregates.

    While Nova cannot be asked, what it said last holds. A process that takes over from another one
    has heard nothing yet: then the hosts of the last snapshot stay, and aggregates are told by
    their members. Where nothing is known, Placement alone decides: a Nova that refuses this login,
    or that no catalogue has, must not keep every host out for ever.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.failures: dict[str, SourceFailed] = {}
        """NAMES or STATES → why it could not be read for the present snapshot."""
        self._names: Mapping[str, Collection[str]] | None = None
        """UUID of an aggregate → its name; None until it is known."""
        self._states: Mapping[str, Compute] | None = None
        """The computes by UUID; None until they were read once."""
        self._listed: Mapping[str, Compute] = {}
        """Those that were read for the present snapshot."""
        self._recalled: Mapping[str, Host] = {}
        """The hosts of the last snapshot before this process polled, by name."""

    def recall(self, hosts: Sequence[Host]) -> None:
        """Forget what this process has read: another process has polled since."""
        self._names = self._states = None
        self._recalled = {host.name: host for host in hosts}

    # Reading

    async def read(self, computes: Collection[str]) -> None:
        """Read names and states; what fails is in `failures`.

        Args:
            computes: UUIDs of hosts. Nova is asked until it has listed them, or has no more.
        """
        self.failures = {}
        await asyncio.gather(
            self._try(NAMES, self._read_names),
            self._try(STATES, lambda: self._read_states(computes)),
        )

    async def _try(self, part: str, read: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(NOVA_SECONDS):
                await read()
        except SourceFailed as failure:
            self.failures[part] = failure
        except TimeoutError:
            self.service.renew()
            self.failures[part] = Unreachable(f"compute took longer than {NOVA_SECONDS:g} s")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            self.failures[part] = Faulty(f"compute answered in an unknown shape: {error!r}")

    async def _read_names(self) -> None:
        answer = await self.service.get("/os-aggregates")
        self._names = {
            aggregate["uuid"]: (aggregate["name"],) for aggregate in answer["aggregates"]
        }

    async def _read_states(self, computes: Collection[str]) -> None:
        states: dict[str, Compute] = {}
        path = "/os-hypervisors"
        while True:
            page = await self.service.get(path)
            hypervisors = page["hypervisors"]
            states |= {hypervisor["id"]: Compute.of(hypervisor) for hypervisor in hypervisors}
            # A page lacks the computes whose service was deleted, and then the link to the next.
            more = page.get("hypervisors_links") or not states.keys() >= set(computes)
            if not hypervisors or not more:
                break
            following = f"/os-hypervisors?marker={hypervisors[-1]['id']}"
            if following == path:
                raise Faulty("compute /os-hypervisors: a page follows itself")
            path = following
        self._listed = states

    # Using what was read

    def settle(self, trees: Collection[Tree]) -> None:
        """Decide what holds for these hosts in the present snapshot."""
        if STATES not in self.failures:
            if trees and not any(tree.root.uuid in self._listed for tree in trees):
                text = (
                    f"compute lists none of Placement's {len(trees)} hosts: is it another cloud's?"
                )
                self.failures[STATES] = Misconfigured(text)
            else:
                self._states = self._listed
        if self._names is None and self._recalled:
            self._names = self._names_by_members(trees)

    def _names_by_members(self, trees: Iterable[Tree]) -> Mapping[str, Collection[str]]:
        """Return the names whose hosts, by the last snapshot, are those of an aggregate now."""
        now: dict[str, set[str]] = {}
        for tree in trees:
            if tree.root.name in self._recalled:
                for uuid in tree.root.aggregates:
                    now.setdefault(uuid, set()).add(tree.root.name)
        present = {tree.root.name for tree in trees}
        then: dict[str, set[str]] = {}
        for name in self._recalled.keys() & present:
            for label in self._recalled[name].aggregates:
                then.setdefault(label, set()).add(name)
        return {
            uuid: [label for label, hosts in then.items() if hosts == members and label not in now]
            or (uuid,)
            for uuid, members in now.items()
        }

    def takes_work(self, tree: Tree) -> bool:
        """Tell whether Nova would boot a server on this host."""
        if self._states is not None:
            compute = self._states.get(tree.root.uuid)
            return compute is not None and not compute.closed
        if self._recalled and type(self.failures.get(STATES)) in _PASSING:
            return tree.root.name in self._recalled
        return True

    def out_of_service(self, trees: Iterable[Tree]) -> dict[str, str]:
        """Return the hosts that take no work by Nova's word → why; disabled ones of Placement's
        list, too, that it leaves out of `trees`."""
        computes = self._states or {}
        unlisted = {
            tree.root.name: "Nova does not say that it is up"
            for tree in trees
            if tree.root.uuid not in computes and not self.takes_work(tree)
        }
        return {each.name: each.closed for each in computes.values() if each.closed} | unlisted

    def host(self, tree: Tree) -> Host:
        """Return a tree as a host, with its aggregates by their names."""
        names = self._names or {}
        labels = [label for uuid in tree.root.aggregates for label in names.get(uuid, (uuid,))]
        return replace(tree.host(), aggregates=frozenset(labels))

    def unread(self) -> dict[str, str]:
        """Return what could not be read → why, and what holds instead."""
        kept = {
            NAMES: "known names stay, other aggregates are named by their UUID",
            STATES: self._states_kept(),
        }
        return {
            part: f"{kept[part]} ({failure.cause}: {failure})"
            for part, failure in self.failures.items()
        }

    def _states_kept(self) -> str:
        if self._states is not None:
            return "they stay as Nova reported them last"
        if self._recalled and type(self.failures.get(STATES)) in _PASSING:
            return "the hosts of the last snapshot stay, others wait for Nova"
        return "every host of Placement's counts as up"


def _why_closed(hypervisor: Mapping[str, Any]) -> str:
    """Return why a compute takes no work; '' if it does."""
    if hypervisor["state"] != "up":  # down, or forced down
        return "down"
    return "" if hypervisor["status"] == "enabled" else "disabled"
