"""The clients of the jobs: plain ones, unnamed, silent and deaf ones, with gangs and aggregates.

A plain client is what users would write: it boots on the granted hosts, names its servers, deletes
them a while later and says so. An unnamed one never names its servers. A silent one boots and never
says anything again; a deaf one never takes its callback.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any

import httpx
from openstack_cloud.broker import TYPE
from standins.http_servers import Server

from chaosing.book import Book
from chaosing.lab import FAILURES, SIZES, Lab, NoBoot, TookTooLong
from chaosing.promises import KNOWN_SECONDS, Promise, Promises
from rq_broker.client import Client
from rq_broker.domain.errors import BrokerError

SETTLE_SECONDS = 45.0
"""The policy's `settle`: longer than a boot takes on a busy machine."""
TRIES = 3
"""Grants that a client uses before it gives its job up: a boot may fail while a service is away."""
HOLD_SECONDS = (8.0, 20.0)
"""How long a client keeps its servers, at least and at most."""
RENEW_SECONDS = 10.0
"""How often a client that keeps its servers says that it still runs."""
ORDER = "a grant is never told after a newer one, and no fence to two jobs"
AWAY = "a service was away"
BOOTS = "a boot on a granted host fails for a reason that the cloud gave"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job asks for, and how its client behaves."""

    manner: str = "plain"
    """plain, unnamed, silent or deaf."""
    cores: Sequence[int] = (1,)
    """Of each instance."""
    aggregate: str | None = None
    spread: bool = False
    keeps: bool = False
    """Whether the client keeps its servers until it is told to end."""

    def data(self) -> dict[str, Any]:
        """Return the job's `data`."""
        data: dict[str, Any] = {"instances": [dict(SIZES[cores]) for cores in self.cores]}
        if self.aggregate:
            data["host_aggregate"] = self.aggregate
        if self.spread:
            data["spread"] = True
        return data


@dataclass
class Clients:
    """All clients of one run, and their one receiver of callbacks."""

    lab: Lab
    api: str
    promises: Promises
    book: Book
    jobs: dict[str, Kind] = field(default_factory=dict)
    """request_id → its kind, for every job that was submitted."""
    named: dict[str, list[str]] = field(default_factory=dict)
    """request_id → the servers that its client named."""
    alive: dict[str, str] = field(default_factory=dict)
    """Server that is up → the job that uses it."""
    ends: threading.Event = field(default_factory=threading.Event)
    """Set when clients that keep their servers are to end."""
    threads: list[threading.Thread] = field(default_factory=list)
    _fences: dict[str, list[int]] = field(default_factory=dict)
    _owners: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.receiver = Server(self._answer)

    def submit(self, broker: Client, kind: Kind) -> None:
        """Submit one job of a kind."""
        name = f"{kind.manner}-{len(self.jobs) + 1:02}"
        self.jobs[name] = kind
        broker.submit(
            TYPE,
            request_id=name,
            owner_id=f"owner-{len(self.jobs) % 3}",
            data=kind.data(),
            callback=f"{self.receiver.url}/{name}",
        )

    def submitted(self) -> Counter[str]:
        """Count the submitted jobs by manner."""
        return Counter(kind.manner for kind in self.jobs.values())

    def join(self) -> None:
        """Wait until every client has done with its job."""
        for thread in list(self.threads):
            thread.join()

    # Callbacks

    def _answer(
        self, _path: str, _headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        job = json.loads(body)["data"]
        name, fence = job["RequestID"], job["Fence"]
        kind = self.jobs[name]
        with self._lock:
            fences = self._fences.setdefault(name, [])
            if fence in fences:
                self.book.count("callbacks repeated")
                return (500 if kind.manner == "deaf" else 200), {}, b"{}"
            if fences and fence < fences[-1]:
                self.book.fault(ORDER, f"{name}: {fence} after {fences[-1]}")
            if self._owners.setdefault(fence, name) != name:
                self.book.fault(ORDER, f"fence {fence} to {name} and {self._owners[fence]}")
            fences.append(fence)
        self.book.count("grants told")
        if kind.manner == "deaf":
            return 500, {}, b"{}"
        promise = Promise(
            name,
            fence,
            tuple(job["Hosts"]),
            _amounts(kind, job["Hosts"]),
            seconds=inf if kind.manner == "plain" else SETTLE_SECONDS,
        )
        self.promises.tell(promise)
        thread = threading.Thread(target=self._use, args=(promise, kind), daemon=True)
        self.threads.append(thread)
        thread.start()
        return 200, {}, b"{}"

    # What a client does with a grant

    def _use(self, promise: Promise, kind: Kind) -> None:
        name = promise.request_id
        with Client(self.api) as broker:
            servers: list[str] = []
            try:
                for cores, host in zip(kind.cores, promise.hosts, strict=True):
                    servers.append(self.lab.boot(f"{name}-{len(servers)}", cores, host))
                    self.promises.own(servers[-1], name, host)
                if kind.manner == "plain":
                    self.named[name] = servers
                    self._tell(broker, name, "running", servers=servers)
                for server in servers:
                    self.lab.await_boot(server)
            except (NoBoot, TookTooLong, *FAILURES) as error:
                self._give_back(broker, promise, servers, error)
                return
            self.promises.end(name)
            self.alive |= dict.fromkeys(servers, name)
            self.book.count("servers booted where granted")
            if kind.manner == "silent":
                return
            self._hold(broker, name, kind)
            self._delete(servers)
            self._tell(broker, name, "done")

    def _hold(self, broker: Client, name: str, kind: Kind) -> None:
        end = time.monotonic() + random.uniform(*HOLD_SECONDS)
        while kind.keeps and not self.ends.is_set():
            self._tell(broker, name, "running")
            self.ends.wait(RENEW_SECONDS)
        self.ends.wait(max(0.0, end - time.monotonic()))

    def _give_back(
        self, broker: Client, promise: Promise, servers: Sequence[str], error: Exception
    ) -> None:
        """Tell why a boot failed, delete what came up, and wait in the queue again."""
        name, hosts = promise.request_id, ", ".join(promise.hosts)
        log = self.lab.scheduler_said(servers)
        reason = self._reason(promise, error, log)
        if reason is None:
            self.book.fault(BOOTS, f"{name} on {hosts}: {error} {log}")
        self.book.failed_boots[reason or "unexplained"] += 1
        self.book.say(f"{name}: boot on {hosts} failed, {reason}: {str(error)[:120]} {log}")
        self._delete(servers)
        self.promises.end(name)
        tries = len(self._fences[name])
        if tries < TRIES:
            self._tell(broker, name, "queued", fence=promise.fence)
        else:
            self._tell(broker, name, "error", error=f"{tries} boots failed: {error}"[:1000])

    def _reason(self, promise: Promise, error: Exception, log: str) -> str | None:
        """Return why a boot failed where the cloud is the cause; None where nothing explains it.

        Args:
            promise: The grant.
            error: What the client saw.
            log: What Nova's scheduler logged about it.
        """
        away = self.promises.outage_since(promise.told_at)
        began = promise.told_at - KNOWN_SECONDS
        for is_so, cause in (
            ("not responding" in log or (away and not isinstance(error, NoBoot)), AWAY),
            (isinstance(error, TookTooLong), "it took longer than a minute"),
            (isinstance(error, FAILURES), "Nova's API refused it"),
            (not promise.lasts(time.monotonic()), "it took longer than settle"),
            (self.promises.was_unwell(promise.hosts, began), "the host was killed or disabled"),
            ("deleted" in str(error), "the server was deleted"),
        ):
            if is_so:
                return cause
        self.promises.poll()
        came: set[str] = set()
        for host in promise.hosts:
            came |= self.promises.intruders(host, began)
        if came:
            return f"{' and '.join(sorted(came))} took the room"
        return AWAY if away else None

    def _delete(self, servers: Sequence[str]) -> None:
        for server in servers:
            self.alive.pop(server, None)
            with suppress(TookTooLong):
                self.lab.delete(server)

    def _tell(self, broker: Client, name: str, status: str, **details: Any) -> None:
        try:
            broker.transition(TYPE, name, status, **details)
        except (BrokerError, httpx.HTTPError) as error:
            self.book.count(f"updates refused: {getattr(error, 'code', type(error).__name__)}")


def _amounts(kind: Kind, hosts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Sum up what a grant promises on each host."""
    amounts: dict[str, dict[str, int]] = {}
    for cores, host in zip(kind.cores, hosts, strict=True):
        here = amounts.setdefault(host, {})
        for resource, amount in SIZES[cores].items():
            here[resource] = here.get(resource, 0) + amount
    return amounts
