"""Where capacity comes from: a source answers snapshots, and this is all that a new one needs.

A source is a class with one method. `open_source` finds it by the `kind` of a TOML table, one of
KINDS or "package.module:Class", and passes the table's other keys to its constructor by name.

    SourceFailed        the last snapshot stays, marked stale
    ├── Misconfigured   misconfigured   the table, a file, a login: a person must act
    ├── Refused         refused         the service turns our credentials away
    ├── Unreachable     unreachable     no connection, no name, no answer in time
    └── Faulty          faulty          an answer that is not what the service's API promises
        └── Missing     missing         nothing lives at a path that should exist
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from time import time_ns
from typing import Any

from rq_broker.domain.capacity import Host

KINDS: Mapping[str, str] = {
    "file": "rq_broker.sources.file:FileSource",
    "kube": "rq_broker.sources.kube:KubeSource",
    "placement": "rq_broker.sources.placement:PlacementSource",
}
EXTRAS: Mapping[str, str] = {"kube": "kube", "placement": "openstack"}


class SourceFailed(Exception):
    """The root: carries the sentence for people, `cause` for programs and metrics."""

    cause = "failed"


class Misconfigured(SourceFailed):
    """The source cannot work as it is set up; trying again changes nothing."""

    cause = "misconfigured"


class Refused(SourceFailed):
    """The service knows us not, or forbids what a source must read."""

    cause = "refused"


class Unreachable(SourceFailed):
    """No answer: no connection, no name, too slow."""

    cause = "unreachable"


class Faulty(SourceFailed):
    """An answer that cannot be used: a 5xx, a torn body, not the API's shape."""

    cause = "faulty"


class Missing(Faulty):
    """A 404."""

    cause = "missing"


_last = 0


def tick() -> int:
    """Number a snapshot begun now: µs since 1970, above every number given here before."""
    global _last  # noqa: PLW0603 - one line of numbers for the whole process is the point
    _last = max(_last + 1, time_ns() // 1000)
    return _last


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """What a source saw, to be applied whole: hosts it no longer names are out of service."""

    hosts: tuple[Host, ...]
    """Capacity, used, aggregates and max_unit; nothing held. A host that takes no new work is left
    out."""
    consumers: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    """Each watched consumer → (host, resource) → what of that host's `used` is this consumer's.
    Exactly that: an amount is listed if and only if the same host's `used` here contains it."""
    sequence: int = field(default_factory=tick, kw_only=True)
    """Grows from snapshot to snapshot; an older one must never overwrite a newer."""


class Source(ABC):
    """One place that knows of capacity."""

    @abstractmethod
    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """Look now; raises SourceFailed where that is impossible.

        `watch` names consumers (servers, pods) whose share of `used` is wanted. A source that
        cannot tell leaves `consumers` empty.
        """

    async def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Give back connections and threads."""


def open_source(table: Mapping[str, Any]) -> Source:
    """Build the source a TOML table describes; raises Misconfigured with the place."""
    options = dict(table)
    kind = options.pop("kind", None)
    if not isinstance(kind, str):
        known = ", ".join(sorted(KINDS))
        raise Misconfigured(f'a source needs a kind: one of {known}, or "package.module:Class"')
    factory = _find(kind)
    try:
        signature(factory).bind(**options)
    except TypeError as error:
        raise Misconfigured(f"source {kind}: {error}") from None
    return factory(**options)


def _find(kind: str) -> Callable[..., Source]:
    module, _, name = KINDS.get(kind, kind).partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        hint = f"; pip install 'rq-broker[{EXTRAS[kind]}]'" if kind in EXTRAS else ""
        raise Misconfigured(f"source {kind}: {error}{hint}") from error
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise Misconfigured(f"source {kind}: {name} is not a subclass of rq_broker.sources.Source")
    return found
