"""What the poller does, and what is told of sources: watch, apply, fail, sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rq_broker.domain.capacity import Host, SourceState
from rq_broker.store import records
from rq_broker.store.keys import digest
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source saw, as it is applied."""

    sequence: int
    """Grows from one to the next of a term."""
    hosts: Sequence[Host]
    shares: Mapping[str, Mapping[tuple[str, str], int]]
    """Server → (host, resource) → what of that host's `used` is this server's."""
    tells: bool = True
    """False: the source cannot tell whose what is, and `shares` is empty for that."""


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """A snapshot just begun: at which time of Redis, in ms, and whose shares are wanted."""

    begun: int
    servers: frozenset[str]


class Sources:
    """Verbs of sources; a term is what `turn` at `source:<name>` answered."""

    def __init__(self, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry
        self._told: dict[tuple[str, str], dict[str, Host]] = {}
        """By type and source, the hosts Redis was told in full: it need only hear their digest."""

    async def watch(self, type_: str, name: str, term: int, interval: float) -> WatchStarted | None:
        """Begin a snapshot; None when a later term polls. `interval`: seconds between two."""
        await self._registry.register(type_)
        milliseconds = round(interval * 1000)
        reply = await self._runner.run(
            "watch", type_, source=name, term=term, interval=milliseconds
        )
        if reply.begun is None:
            return None
        return WatchStarted(reply.begun, frozenset(reply.servers))

    async def apply(
        self, type_: str, name: str, term: int, begun: int, seen: SourceReport
    ) -> tuple[int, int] | None:
        """Apply a snapshot; hosts changed, and left to others. None: it is not the newest."""
        told = self._told.setdefault((type_, name), {})
        hosts = [text for host in seen.hosts for text in _telling(host, told)]
        shares = [
            text
            for server, share in seen.shares.items()
            for text in (
                server,
                len(share),
                *(part for place, amount in share.items() for part in ("/".join(place), amount)),
            )
        ]
        tells, count = "1" if seen.tells else "", len(seen.hosts)
        reply = await self._runner.run(
            "apply", type_, name, term, seen.sequence, begun, tells, count, *hosts, *shares
        )
        if reply == ["UNKNOWN"]:
            self._told.pop((type_, name))
            return await self.apply(type_, name, term, begun, seen)
        if not reply:
            return None
        self._told[type_, name] = {host.name: host for host in seen.hosts}
        return int(reply[0]), int(reply[1])

    async def fail(self, type_: str, name: str, term: int, cause: str, text: str) -> bool:
        """Say why a source gave no snapshot; returns whether the term was heard."""
        reply = await self._runner.run(
            "fail", type_, source=name, term=term, cause=cause, text=text
        )
        accepted: bool = reply.accepted
        return accepted

    async def sources(self, type_: str) -> list[SourceState]:
        """Read how the sources of a type are, by name."""
        reply = await self._runner.run("sources", type_)
        states = records.readable(lambda row: records.source_state(reply.now, row), reply.sources)
        return sorted(states, key=lambda state: state.name)


def _telling(host: Host, told: Mapping[str, Host]) -> list[str | int]:
    """Render a host as `apply` takes it: in full, or by its digest where that was told before."""
    pairs = ["aggregates", records.aggregates_text(host), *records.host_pairs(host)]
    name = digest("\0".join(pairs))
    if told.get(host.name) == host:
        return [host.name, name, 0]
    return [host.name, name, len(pairs) // 2, *pairs]
