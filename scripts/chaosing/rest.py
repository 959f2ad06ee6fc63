"""What must hold when nothing moves any more: the broker's figures are those of the cloud."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from openstack_cloud.broker import TYPE

from chaosing.clients import Clients
from chaosing.lab import Lab
from rq_broker.client import Client

REST_SECONDS = 30.0
"""How long figures may take to agree after the last act; a snapshot takes a second or two."""


class Rest:
    """Compares the broker with Placement, Nova and what clients know."""

    def __init__(self, broker: Client, lab: Lab, clients: Clients) -> None:
        self.broker, self.lab, self.clients = broker, lab, clients

    def usage(self) -> list[str]:
        """List where capacity or `used` differ from Placement's, of hosts that Nova takes."""
        providers = {
            name: uuid for name, uuid in self.lab.providers().items() if self.lab.takes_work(name)
        }
        capacity = self.lab.capacity(providers.items())
        usage = self.lab.usage(providers.items())
        hosts = {host["name"]: host for host in self.broker.hosts(TYPE)}
        wrong = [f"{name}: only one side has it" for name in hosts.keys() ^ providers.keys()]
        for name in hosts.keys() & providers.keys():
            used: Counter[str] = Counter()
            for amounts in usage[name].values():
                used.update(amounts)
            wrong += _differences(f"{name} used", hosts[name]["used"], used)
            wrong += _differences(f"{name} capacity", hosts[name]["capacity"], capacity[name])
        return wrong

    def holds(self) -> list[str]:
        """List resources of which more or less is held than running jobs have still to use."""
        used = self._used_by_job()
        expected: Counter[str] = Counter()
        for job in self.broker.jobs(TYPE, status="running"):
            name = job["RequestID"]
            granted: Counter[str] = Counter()
            for instance in self.clients.jobs[name].data()["instances"]:
                granted.update(instance)
            granted.subtract(used.get(name, {}))
            expected.update({resource: max(0, n) for resource, n in granted.items()})
            for amounts in self._unheld(name).values():
                expected.subtract(amounts)
        held: Counter[str] = Counter()
        for host in self.broker.hosts(TYPE):
            held.update(host["held"])
        return _differences("held", held, expected)

    def _unheld(self, name: str) -> Mapping[str, Mapping[str, int]]:
        """Return what a running job has lost to others, by host."""
        answer = httpx.get(f"{self.clients.api}/v1/{TYPE}/{name}/explain", timeout=10).json()
        unheld: Mapping[str, Mapping[str, int]] = answer["data"].get("unheld", {})
        return unheld

    def aggregates(self) -> list[str]:
        """List hosts whose aggregates are not named as Nova names them."""
        names: dict[str, set[str]] = {}
        for aggregate in self.lab.compute.aggregates():
            for host in aggregate.hosts or ():
                names.setdefault(host, set()).add(aggregate.name)
        return [
            f"{host['name']}: {host['aggregates']}"
            for host in self.broker.hosts(TYPE)
            if {*host["aggregates"]} != names.get(host["name"], set())
        ]

    def held(self) -> list[str]:
        """List every amount that is held."""
        return [
            f"{host['name']}: {amount} {resource}"
            for host in self.broker.hosts(TYPE)
            for resource, amount in host["held"].items()
            if amount
        ]

    def unended(self) -> list[str]:
        """List the jobs that have not ended, and those that the broker does not know."""
        ended = {
            job["RequestID"]
            for status in ("done", "error")
            for job in self.broker.jobs(TYPE, status=status)
        }
        return sorted(self.clients.jobs.keys() - ended)

    def statuses(self) -> Counter[tuple[str, str]]:
        """Count the jobs by their clients' manner and their status."""
        return Counter(
            (self.clients.jobs[job["RequestID"]].manner, job["Status"])
            for job in self.broker.jobs(TYPE)
        )

    def _used_by_job(self) -> Mapping[str, Mapping[str, int]]:
        jobs = {server: name for name, servers in self.clients.named.items() for server in servers}
        used: dict[str, Counter[str]] = {}
        for consumers in self.lab.usage(self.lab.providers().items()).values():
            for consumer, amounts in consumers.items():
                if consumer in jobs:
                    used.setdefault(jobs[consumer], Counter()).update(amounts)
        return used


def settled(check: Callable[[], list[str]], seconds: float = REST_SECONDS) -> list[str]:
    """Repeat a check until it finds nothing; return what it still finds at the end."""
    end = time.monotonic() + seconds
    while (found := check()) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _differences(what: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return [
        f"{what} {name}: {mine.get(name, 0)}, not {theirs.get(name, 0)}"
        for name in sorted({*mine, *theirs})
        if mine.get(name, 0) != theirs.get(name, 0)
    ]
