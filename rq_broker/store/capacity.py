"""What operators do with a type: its policy, its hosts, its counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host, checked, patched_host
from rq_broker.domain.jobs import STORED_STATUSES, Status
from rq_broker.domain.policy import Policy, patched_fields
from rq_broker.store import policy_record, records
from rq_broker.store.grants import Grants
from rq_broker.store.keys import DEVICES_SINCE, TYPES, Keys
from rq_broker.store.notifiers import refuse_older
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

MOST_ATTEMPTS = 100
"""How often a patch is made anew because another change came between its reading and its writing.
Each time one of those changes was carried out, so this many must race for a call to fail."""


class Capacity:
    """Types, policy and hosts."""

    def __init__(self, runner: Runner, registry: Registry, grants: Grants) -> None:
        self._runner = runner
        self._registry = registry
        self._grants = grants

    async def types(self) -> dict[str, dict[Status, int]]:
        """Count the jobs of every type, per status."""
        names = await self.names()
        return dict(zip(names, await asyncio.gather(*map(self.counts, names)), strict=True))

    async def names(self) -> list[str]:
        """List the types that were ever used."""
        return sorted(await self._runner.command("SMEMBERS", TYPES))

    async def counts(self, type_: str) -> dict[Status, int]:
        """Count the jobs of one type, per status."""
        sets = [Keys(type_).of("status", status) for status in STORED_STATUSES]
        *counts, beside = await asyncio.gather(
            *(self._runner.command("ZCARD", name) for name in sets)
        )
        by_status = dict(zip(Status, counts, strict=True))
        by_status[Status.QUEUED] += beside
        return by_status

    async def has_hosts(self, type_: str) -> bool:
        """Return whether the type has a host, also one that is taken out and not yet free."""
        return bool(await self._runner.command("ZCARD", Keys(type_).of("hosts")))

    async def policy(self, type_: str) -> Policy:
        """Read the type's policy."""
        base = await self._runner.command("HGETALL", Keys(type_).base)
        return policy_record.policy(records.pairs(base))

    async def set_policy(self, type_: str, changes: Mapping[str, object]) -> Policy:
        """Change the named fields of the type's policy."""
        await self._registry.register(type_)
        await self._runner.run("set_policy", type_, known=(), changes=policy_record.pairs(changes))
        return await self.policy(type_)

    async def patch_policy(self, type_: str, patch: Mapping[str, Any]) -> Policy:
        """Change what a JSON Merge Patch names of the type's policy, see policy.patched_fields.

        Raises:
            Invalid: The policy would not be valid.
            Conflict: Others changed it again and again meanwhile.
        """
        await self._registry.register(type_)
        for _ in range(MOST_ATTEMPTS):
            base = records.pairs(await self._runner.command("HGETALL", Keys(type_).base))
            changes = patched_fields(policy_record.policy(base), patch)
            known = policy_record.stored_pairs(base, changes)
            reply = await self._runner.run(
                "set_policy", type_, known=known, changes=policy_record.pairs(changes)
            )
            if reply.changed:
                return await self.policy(type_)
        raise errors.Conflict("others change the policy all the time; repeat the call")

    async def set_host(self, type_: str, host: Host, publisher: str | None = None) -> bool:
        """Publish a host; returns whether it is new.

        Args:
            type_: The type.
            host: The host.
            publisher: Who publishes it, and may replace its own hosts only; None: who may replace
                every host.

        Raises:
            Invalid: It cannot be named, or counted.
            Conflict: A source reports it.
            Forbidden: Another one published it.
            OlderNotifiers: It has devices, and a notifier that does not know them serves the type.
        """
        checked(host)
        await self.check_devices(type_, [host])
        await self._registry.register(type_)
        reply = await self._runner.run(
            "set_host",
            type_,
            host=host.name,
            aggregates=records.aggregates_text(host),
            publisher=publisher,
            known=(),
            fields=records.host_pairs(host),
        )
        new: bool = reply.new
        return new

    async def patch_host(
        self, type_: str, name: str, patch: Mapping[str, Any], publisher: str | None = None
    ) -> None:
        """Change what a JSON Merge Patch names of a host; its publisher stays.

        Args:
            type_: The type.
            name: The host.
            patch: What changes, see capacity.patched_host.
            publisher: Who may change its own hosts only; None: who may change every host.

        Raises:
            HostNotFound: The type has no such host in service.
            Invalid: The host would not be valid.
            Forbidden: Another one published it.
            Conflict: A source reports it, or others changed it again and again meanwhile.
            OlderNotifiers: As of `set_host`.
        """
        for _ in range(MOST_ATTEMPTS):
            stored = records.pairs(
                await self._runner.command("HGETALL", Keys(type_).of("host", name))
            )
            if not stored or "dropped" in stored:
                hint = "; PUT it to bring it back" if stored and "source" not in stored else ""
                raise errors.HostNotFound(f"no host {name} is in service in type {type_}{hint}")
            if publisher is not None and stored.get("publisher") != publisher:
                raise errors.Forbidden("another one published this host")
            host = patched_host(records.host(name, stored), patch)
            await self.check_devices(type_, [host])
            reply = await self._runner.run(
                "set_host",
                type_,
                host=name,
                aggregates=records.aggregates_text(host),
                publisher=publisher,
                known=records.published_pairs(stored),
                fields=records.host_pairs(host),
            )
            if reply.stored:
                return
        raise errors.Conflict("others change this host all the time; repeat the call")

    async def check_devices(self, type_: str, hosts: Iterable[Host]) -> None:
        """Check that all who serve a type know the devices that its hosts may have.

        Raises:
            OlderNotifiers: One has devices, and a notifier that does not know them serves the type.
        """
        if any(host.devices for host in hosts):
            await refuse_older(self._runner, type_, "the devices of this host", DEVICES_SINCE)

    async def drop_host(self, type_: str, name: str, publisher: str | None = None) -> None:
        """Take a host out of service; it stays listed, without capacity, until its holds end.

        Raises Forbidden if there is a `publisher`, and another one published it.
        """
        await self._runner.run("drop_host", type_, host=name, publisher=publisher)

    async def hosts(self, type_: str) -> list[Host]:
        """Read all hosts, by name."""
        state = await self._grants.type_state(type_)
        return [state.hosts[name] for name in sorted(state.hosts)]

    async def host(self, type_: str, name: str) -> Host:
        """Read one host."""
        fields = records.pairs(await self._runner.command("HGETALL", Keys(type_).of("host", name)))
        if not fields:
            raise errors.HostNotFound(f"no host {name} in type {type_}")
        return records.host(name, fields)
