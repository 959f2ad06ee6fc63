"""What a source is, and what a snapshot of its capacity holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import ClassVar, Literal

from rq_broker.domain.capacity import Host

_last_sequence = 0


def next_sequence() -> int:
    """Return the number of a snapshot that begins now.

    It is the time in µs since 1970, or one more than the number before where the clock has not
    moved on, so that a snapshot begun later always has the higher number.
    """
    global _last_sequence  # noqa: PLW0603 - the order holds over all sources of a process
    _last_sequence = max(_last_sequence + 1, time_ns() // 1000)
    return _last_sequence


@dataclass(frozen=True, slots=True)
class SourceSnapshot:
    """All hosts of a source at one moment. A host that is absent goes out of service."""

    hosts: tuple[Host, ...]
    """Hosts with capacity, used, aggregates and max_unit; `held` is the broker's to add. Hosts that
    take no new work are left out."""
    consumers: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    """Each watched consumer → (host, resource) → the part of that host's `used` that belongs to it.
    An amount is listed if and only if the host's `used` in this snapshot contains it."""
    bad_hosts: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Hosts that the source has but cannot read: name → what is wrong. They keep their last good
    state. The broker adds those of `hosts` that it cannot use."""
    left_out: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Host → what it has that the broker cannot name and `hosts` therefore lacks, as a text."""
    unread: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """What the source could not read, in words → why, and what holds instead. The rest of the
    snapshot counts."""
    out_of_service: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Host that takes no new work, and that `hosts` therefore lacks → why, in a few words. For
    people: what is listed nowhere goes out of service, too."""
    sequence: int = field(default_factory=next_sequence, kw_only=True)
    """Grows from snapshot to snapshot; the broker refuses a snapshot older than its last one."""


class Source(ABC):
    """A service or a file that knows of capacity."""

    naming: ClassVar[Literal["uuid", "any", "none"]] = "any"
    """What its consumers are named by. `uuid`: UUIDs in lower case with dashes; other spellings of
    them are rewritten where a client names servers, and other names are refused. `any`: names are
    compared letter by letter. `none`: it reports no consumers."""

    @abstractmethod
    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """Read the capacity as it is now.

        Args:
            watch: Consumers (servers or pods, see `naming`) whose share of `used` is wanted. A
                source that cannot tell leaves `consumers` empty.

        Raises:
            SourceFailed: There is no snapshot; the subclass says why.
        """

    @property
    def requests_sent(self) -> int | None:
        """Number of requests so far, without those of logins; None where nobody counts them."""
        return None

    def recall(self, hosts: Sequence[Host]) -> None:  # noqa: B027 - most sources need no memory
        """Take over from another process, before the first snapshot of this one.

        Args:
            hosts: The source's hosts that are in service, as its last snapshot showed them. Another
                process may have taken it. What cannot be read now stays as it was then.
        """

    async def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Release connections and threads."""
