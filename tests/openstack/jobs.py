"""Jobs of the tests on OpenStack, whose client takes each grant and boots nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.everyday_client import Callbacks

SIZE = (2, 2048, 10)
"""VCPU, MB and GB of the servers in these tests; a host has room for two."""
INSTANCE = {"VCPU": 2, "Memory": 2048, "Disk": 10}


class Jobs:
    """Submits jobs to a broker, and takes every grant."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.callbacks = Callbacks(_take)

    def submit(
        self,
        name: str,
        count: int = 1,
        type_: str = TYPE,
        instance: Mapping[str, int] = INSTANCE,
        **data: Any,
    ) -> None:
        """Submit a job of some equal servers."""
        self.broker.client.submit(
            type_,
            request_id=name,
            owner_id="lab",
            data={"instances": [dict(instance)] * count, "project": "lab", **data},
            callback=f"{self.callbacks.url}/{type_}/{name}",
        )

    def granted(self, name: str, count: int = 1, type_: str = TYPE, **data: Any) -> list[str]:
        """Submit a job and wait until its grant is taken; return its hosts."""
        self.submit(name, count, type_, **data)
        job = self.broker.wait_for_status(name, "running", type_=type_)
        hosts: list[str] = job["Hosts"]
        return hosts


def _take(_job: Any) -> None:
    """Do nothing: the callback's 2xx has taken the grant."""


def used(broker: Broker, host: str) -> int:
    """Return the VCPU in use on a host, as the broker knows it."""
    return int(broker.hosts()[host]["used"].get("VCPU", 0))


def held(broker: Broker, host: str) -> int:
    """Return the VCPU that the broker holds on a host for jobs."""
    return int(broker.hosts()[host]["held"].get("VCPU", 0))


def free(broker: Broker, host: str) -> int:
    """Return the VCPU that are free on a host."""
    return int(broker.hosts()[host]["free"].get("VCPU", 0))


def troubles(broker: Broker) -> str:
    """Return all that /readyz reports as trouble, in one text."""
    return "\n".join([*broker.ready()["trouble"], *map(str, broker.sources())])
