"""What the poller of sources does, and the state of sources: watch, apply, fail, sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rq_broker.domain.capacity import Host, SourceState
from rq_broker.store import records
from rq_broker.store.keys import digest
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

_Reported = tuple[Host, str]
"""A host and the digest of its fields."""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source saw in one snapshot, as `apply` takes it."""

    sequence: int
    """Grows from snapshot to snapshot of a term."""
    hosts: Sequence[Host]
    shares: Mapping[str, Mapping[tuple[str, str], int]]
    """Server → (host, resource) → how much of the host's `used` is this server's."""
    knows_shares: bool = True
    """False: the source does not report what each server uses, so `shares` is empty."""
    kept: Sequence[str] = ()
    """Names of hosts that the source has but could not read: they stay as they are."""
    keeps_missing: bool = False
    """Whether the hosts that the snapshot lacks stay in service."""
    cause: str = ""
    """What is wrong with the snapshot: BAD_HOSTS, UNREAD, or '' for nothing."""
    trouble: str = ""
    """The same in a sentence."""


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """A snapshot that was begun."""

    begun: int
    """When, by Redis's clock, ms."""
    servers: frozenset[str]
    """The servers whose shares of `used` the snapshot must report."""


class Sources:
    """The verbs of sources. Their `term` is the term that `turn` returned for `source:<name>`."""

    def __init__(self, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry
        self._reported: dict[tuple[str, str], dict[str, _Reported]] = {}
        """Type and source → name → the host as last reported. Of a host that did not change since,
        only the digest is sent."""

    async def watch(
        self, type_: str, name: str, term: int, interval: float, naming: str = "any"
    ) -> WatchStarted | None:
        """Begin a snapshot; returns None if a later term polls the source.

        Args:
            type_: The type.
            name: The source.
            term: Of the lock on polling it.
            interval: Seconds between two snapshots; a source is stale after three of them.
            naming: How it names servers, see sources.Source.naming.
        """
        await self._registry.list_type(type_)
        milliseconds = round(interval * 1000)
        reply = await self._runner.run(
            "watch", type_, source=name, term=term, interval=milliseconds, naming=naming
        )
        if reply.begun is None:
            return None
        return WatchStarted(reply.begun, frozenset(reply.servers))

    async def apply(
        self, type_: str, name: str, term: int, begun: int, report: SourceReport
    ) -> tuple[int, int] | None:
        """Apply a snapshot.

        Returns:
            How many hosts changed, and how many were left alone because they were published or
            another source reports them; None if the snapshot is not newer than the last.
        """
        hosts, changed = _compare(report.hosts, self._reported.get((type_, name), {}))
        reply = await self._runner.run(
            "apply",
            type_,
            source=name,
            term=term,
            sequence=report.sequence,
            begun=begun,
            knows_shares=report.knows_shares,
            keeps_missing=report.keeps_missing,
            cause=report.cause,
            text=report.trouble,
            kept=report.kept,
            digests=[text for host, (_, digest_) in hosts.items() for text in (host, digest_)],
            reports=changed,
            shares=[
                {"server": server, "used": {"/".join(place): n for place, n in used.items()}}
                for server, used in report.shares.items()
            ],
        )
        if reply.outcome == "incomplete":  # Redis lost hosts that were reported before
            self._reported.pop((type_, name), None)
            return await self.apply(type_, name, term, begun, report)
        if reply.outcome == "old":
            return None
        self._reported[type_, name] = hosts
        return reply.changed, reply.clashes

    async def fail(self, type_: str, name: str, term: int, cause: str, text: str) -> bool:
        """Record why a source gave no snapshot; returns False if a later term polls the source."""
        reply = await self._runner.run(
            "fail", type_, source=name, term=term, cause=cause, text=text
        )
        accepted: bool = reply.accepted
        return accepted

    async def forget_source(self, type_: str, name: str) -> None:
        """Forget a source that is not polled any more; its hosts go out of service.

        Raises:
            SourceNotFound: The type has no such source.
            Conflict: A notifier polls it.
        """
        await self._runner.run("forget_source", type_, source=name)
        self._reported.pop((type_, name), None)

    async def sources(self, type_: str) -> list[SourceState]:
        """Read the state of a type's sources, by name."""
        reply = await self._runner.run("sources", type_)
        states = records.readable(lambda row: records.source_state(reply.now, row), reply.sources)
        return sorted(states, key=lambda state: state.name)


def _compare(
    hosts: Iterable[Host], last: Mapping[str, _Reported]
) -> tuple[dict[str, _Reported], list[dict[str, Any]]]:
    """Compare hosts with what was last reported of them.

    Returns:
        Name → host and the digest of its fields; and the rows of `apply` for those that changed.
    """
    reported: dict[str, _Reported] = {}
    changed = []
    for host in hosts:
        before = last.get(host.name)
        if before and before[0] == host:
            reported[host.name] = before
            continue
        fields = ["aggregates", records.aggregates_text(host), *records.host_pairs(host)]
        reported[host.name] = host, digest("\0".join(fields))
        changed.append({"host": host.name, "fields": fields})
    return reported, changed
