"""Checks that no slot is told twice: what clients were promised against what Placement says.

A promise lasts from its callback until the job's servers are up, or until the client gives it back.
In that time nobody but the broker keeps its place free. So at each callback the promises on a host,
and the consumers that Placement had there long enough for the broker to know, must fit the host.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

from chaosing.book import Book

KNOWN_SECONDS = 8.0
"""After this long the broker must know of a consumer: an interval of the source, a snapshot under
load, an admission pass and a callback. Longer excuses a broker that is wrong; shorter blames it for
servers that came while a callback was on its way."""
DEAD_SECONDS = 8.0
"""After this long without a host the broker must grant nothing there; likewise."""
TWICE, DEAD = "no slot is told twice", "no host is granted that Nova has taken out"

Amounts = Mapping[str, int]
Usage = Mapping[str, Mapping[str, Amounts]]
"""Host → consumer → resource → amount, as Placement has it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A grant as its callback told it."""

    request_id: str
    fence: int
    hosts: Sequence[str]
    """One an instance."""
    amounts: Mapping[str, Amounts]
    """Host → resource → amount."""
    told_at: float = field(default_factory=time.monotonic)
    seconds: float = inf
    """How long it lasts if the client does not name its servers: the policy's `settle`."""

    def lasts(self, moment: float) -> bool:
        """Tell whether the broker still holds what it promised."""
        return moment < self.told_at + self.seconds


@dataclass
class Promises:
    """The promises that clients have not used yet, and Placement's consumers with their ages."""

    capacity: Mapping[str, Amounts]
    """Host → resource → amount."""
    read_usage: Callable[[], Usage | None]
    """Reads Placement; None while it cannot be read."""
    takes_work: Callable[[str], bool]
    """Asks Nova whether a host is up and enabled; True while it cannot be asked."""
    book: Book
    open: dict[str, Promise] = field(default_factory=dict)
    """request_id → its promise."""
    owners: dict[str, str] = field(default_factory=dict)
    """Server → the job that booted it."""
    out: dict[str, float] = field(default_factory=dict)
    """Host that Nova has taken out → since when, monotonic."""
    _unwell: dict[str, float] = field(default_factory=dict)
    """Host on which boots may fail, whatever Nova says of it → until when, monotonic."""
    _late: set[str] = field(default_factory=set)
    """Jobs whose servers came up only after the broker had ended their hold."""
    _granted: set[tuple[str, str]] = field(default_factory=set)
    """Host and server that was booted there because it was granted."""
    _gone: dict[tuple[str, str], float] = field(default_factory=dict)
    """Host and consumer that has left it → since when it was there, monotonic."""
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    _usage: Usage = field(default_factory=dict)
    _unknown_since: float | None = None
    _known_again: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def tell(self, promise: Promise) -> None:
        """Record a promise, and check the hosts that it names."""
        with self._lock:
            self.open[promise.request_id] = promise
            suspects, dead = self._overfull(promise), []
            for host in promise.amounts:
                if promise.told_at - self.out.get(host, promise.told_at) > DEAD_SECONDS:
                    dead.append(host)
        for host in dead:
            if not self.takes_work(host):  # it may be back, unnoticed by this script
                self.book.fault(DEAD, f"{promise.request_id} was told {host}")
        if suspects:
            self.poll()  # a consumer may have gone since the last time
            with self._lock:
                for host, sentence in self._overfull(promise).items():
                    self.book.fault(TWICE, f"{promise.request_id} was told {host}: {sentence}")

    def own(self, server: str, request_id: str, host: str) -> None:
        """Record which job booted a server, and where it was granted."""
        with self._lock:
            self.owners[server] = request_id
            self._granted.add((host, server))

    def end(self, request_id: str) -> None:
        """Record that a promise is used or given back."""
        with self._lock:
            if promise := self.open.pop(request_id, None):
                if not promise.lasts(time.monotonic()):
                    self._late.add(request_id)
                    return
                for server in [s for s, job in self.owners.items() if job == request_id]:
                    for host in promise.amounts:
                        self._since[host, server] = promise.told_at

    def blind(self, *, source_reads: bool) -> None:
        """Record whether the source can read Placement; what comes while it cannot is young."""
        with self._lock:
            now = time.monotonic()
            if source_reads and self._unknown_since is not None:
                for place, since in self._since.items():
                    if since >= self._unknown_since - KNOWN_SECONDS:
                        self._since[place] = now
                self._unknown_since, self._known_again = None, now
            elif not source_reads and self._unknown_since is None:
                self._unknown_since = now

    def outage_since(self, moment: float) -> bool:
        """Tell whether a service was away at any time since a moment."""
        with self._lock:
            return self._unknown_since is not None or self._known_again > moment

    @contextmanager
    def unwell(self, host: str) -> Iterator[None]:
        """Mark a host on which boots may fail until the block ends."""
        self._unwell[host] = inf
        yield
        self._unwell[host] = time.monotonic()

    def was_unwell(self, hosts: Iterable[str], moment: float) -> bool:
        """Tell whether boots may have failed on one of these hosts at any time since a moment."""
        return any(self._unwell.get(host, 0.0) >= moment for host in hosts)

    def poll(self) -> None:
        """Read Placement, and date the consumers that are new on a host, or gone from it."""
        usage = self.read_usage()
        if usage is None:
            return
        with self._lock:
            now = time.monotonic()
            self._usage = usage
            places = {(host, consumer) for host, here in usage.items() for consumer in here}
            self._gone |= {
                place: since for place, since in self._since.items() if place not in places
            }
            self._since = {place: self._since.get(place, now) for place in places}

    def intruders(self, host: str, since: float) -> set[str]:
        """Say whose servers came to a host since a moment without being granted there.

        Those that have gone again count as well: they were there when a boot was tried. A late
        client is one whose hold ended before Placement showed its servers.
        """
        with self._lock:
            now = time.monotonic()
            late = self._late | {name for name, p in self.open.items() if not p.lasts(now)}
            came = {
                consumer
                for places in (self._since, self._gone)
                for (place, consumer), moment in places.items()
                if place == host and moment > since
            }
            owners = {consumer: self.owners.get(consumer, "") for consumer in came}
            return {
                "a late client" if owner in late else "a job's moved server" if owner else "others"
                for consumer, owner in owners.items()
                if owner in late or (host, consumer) not in self._granted
            }

    def _overfull(self, promise: Promise) -> dict[str, str]:
        """Return the hosts of a promise that cannot hold it, each with a sentence."""
        known_before = promise.told_at - KNOWN_SECONDS
        if self._unknown_since is not None:
            known_before = min(known_before, self._unknown_since - KNOWN_SECONDS)
        overfull = {}
        for host in promise.amounts:
            promised = [
                p for p in self.open.values() if host in p.amounts and p.lasts(promise.told_at)
            ]
            lasting = {p.request_id for p in promised}
            consumers = {
                consumer: amounts
                for consumer, amounts in self._usage.get(host, {}).items()
                if self.owners.get(consumer) not in lasting
                and self._since[host, consumer] <= known_before
            }
            parts = [p.amounts[host] for p in promised] + list(consumers.values())
            for resource, amount in self.capacity.get(host, {}).items():
                total = sum(part.get(resource, 0) for part in parts)
                if total > amount and resource in promise.amounts[host]:
                    names = [p.request_id for p in promised] + list(consumers)
                    overfull[host] = f"{total} of {amount} {resource}: {', '.join(names)}"
        return overfull
