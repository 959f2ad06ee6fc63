"""Servers and Placement of the cloud under chaos, through its operator's connection.

Each wait has an end, and outlives a service that is away; what takes longer raises TookTooLong.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException
from openstack_cloud import Cloud, nova

from chaosing.promises import Amounts, Usage

FAILURES = (SDKException, ClientException)
"""What openstacksdk raises where the cloud refuses, or does not answer."""
RESOURCES = {"VCPU": "VCPU", "MEMORY_MB": "Memory", "DISK_GB": "Disk"}
"""Resource class of Placement → the broker's name."""
WAIT_SECONDS = 60.0
"""How long one act on a server may take; on a busy machine a boot takes 5 s, a resize 20."""
SIZES: Mapping[int, Mapping[str, int]] = {
    cores: {"VCPU": cores, "Memory": 1024 * cores, "Disk": 10} for cores in (1, 2)
}
"""VCPU of a server → all that it uses."""


class TookTooLong(Exception):
    """The cloud accepted an act, and did not end it in time."""


class NoBoot(Exception):
    """A server did not come up; carries Nova's sentence."""


class NoRoom(Exception):
    """A server stays where it is, because no other host has room."""


class Lab:
    """Acts on servers, and figures of Placement; safe to use from many threads."""

    def __init__(self, cloud: Cloud) -> None:
        self.compute = cloud.operator.compute
        self.placement = cloud.operator.placement
        self._image, self._log = cloud.image, cloud.layout.log
        self._flavors = {
            cores: nova.flavor(cloud.operator, *size.values()) for cores, size in SIZES.items()
        }

    # Servers

    def boot(self, name: str, cores: int, host: str | None) -> str:
        """Ask for a server, on a host or where Nova likes; return its UUID at once."""
        place = {} if host is None else {"host": host}
        server = self.compute.create_server(
            name=name,
            flavor_id=self._flavors[cores],
            image_id=self._image,
            networks="none",
            **place,
        )
        return str(server.id)

    def await_boot(self, server: str) -> None:
        """Wait until a server is up.

        Raises:
            NoBoot: Nova gives up, or somebody has deleted it.
            TookTooLong: It is neither up nor in error.
        """
        found = self.await_status(server, "ACTIVE", "ERROR", "DELETED")
        if found is None or found.status == "DELETED":
            raise NoBoot("it was deleted")
        if found.status == "ERROR":
            raise NoBoot(str((found.fault or {}).get("message", "Nova tells no fault")))

    def await_status(self, server: str, *statuses: str) -> Any:
        """Wait until a server has one of these statuses and rests; None where it is gone."""

        def rests() -> Any:
            found = self.compute.find_server(server, all_projects=True)
            if found is None:
                return "gone"
            return found if found.status in statuses and not found.task_state else None

        found = until(rests, f"server {server} is not {' or '.join(statuses)}")
        return None if found == "gone" else found

    def delete(self, server: str) -> None:
        """Delete a server, and wait until Nova has forgotten it."""

        def gone() -> bool:
            with suppress(*FAILURES):  # 409 while something else happens to it
                self.compute.delete_server(server, ignore_missing=True)
            return self.compute.find_server(server, all_projects=True) is None

        until(gone, f"server {server} is not deleted")

    def scheduler_said(self, servers: Iterable[str]) -> str:
        """Return what Nova's scheduler logged about those of these servers that it refused."""
        conductor, scheduler = (self._log(name).read_text() for name in ("conductor", "scheduler"))
        found: list[str] = []
        for server in servers:
            if request := re.search(
                rf"(req-\S+) .*{server}\] Setting instance to ERROR", conductor
            ):
                line = rf"(?:INFO|WARNING) \S+ \[.*{request[1]} [^]]*\] (.*)"
                found += re.findall(line, scheduler)
        return "; ".join(found)

    def resize(self, server: str, cores: int | None) -> None:
        """Resize a server, or with None migrate it cold, and confirm.

        Raises:
            NoRoom: No other host has room for it; the server stays as it was.
        """
        if cores is None:
            self.compute.migrate_server(server)
        else:
            self.compute.resize_server(server, self._flavors[cores])
        found = self.await_status(server, "VERIFY_RESIZE", "ACTIVE", "ERROR")
        if found is not None and found.status == "ACTIVE":
            raise NoRoom(f"no other host has room for server {server}")
        if found is not None:
            self.compute.confirm_server_resize(server)
            self.await_status(server, "ACTIVE")

    # Hosts

    def takes_work(self, host: str) -> bool:
        """Tell whether Nova calls a host up and enabled; True where it cannot be asked."""
        try:
            for service in self.compute.services(binary=nova.BINARY, host=host):
                return bool(service.state == "up" and service.status == "enabled")
        except FAILURES:
            pass
        return True

    # Placement

    def providers(self) -> dict[str, str]:
        """Return the UUIDs of the resource providers, by host."""
        answer = self._read("/resource_providers")
        return {entry["name"]: entry["uuid"] for entry in answer["resource_providers"]}

    def capacity(self, uuids: Iterable[tuple[str, str]]) -> dict[str, Amounts]:
        """Return what hosts can give: (total − reserved) × allocation_ratio."""
        return {
            host: {
                RESOURCES[name]: int(
                    (stock["total"] - stock["reserved"]) * stock["allocation_ratio"]
                )
                for name, stock in self._read(f"/resource_providers/{uuid}/inventories")[
                    "inventories"
                ].items()
            }
            for host, uuid in uuids
        }

    def usage(self, uuids: Iterable[tuple[str, str]]) -> Usage:
        """Return who uses what on hosts."""
        return {
            host: {
                consumer: {RESOURCES[name]: n for name, n in entry["resources"].items()}
                for consumer, entry in self._read(f"/resource_providers/{uuid}/allocations")[
                    "allocations"
                ].items()
            }
            for host, uuid in uuids
        }

    def usage_or_none(self) -> Usage | None:
        """Return who uses what on every host; None while Placement or Keystone is away."""
        try:
            return self.usage(self.providers().items())
        except FAILURES:
            return None

    def _read(self, path: str) -> Any:
        answer = self.placement.get(path, microversion="1.35", raise_exc=True)
        return answer.json()


def until(reached: Callable[[], Any], complaint: str, seconds: float = WAIT_SECONDS) -> Any:
    """Call until the result is true, and return it; what the cloud cannot answer counts as no.

    Raises:
        TookTooLong: It is not within so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        with suppress(*FAILURES):
            if result := reached():
                return result
        if time.monotonic() > end:
            raise TookTooLong(complaint)
        time.sleep(0.3)
