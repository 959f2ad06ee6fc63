"""What operators and users do with servers and hosts, through openstacksdk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from openstack.compute.v2.server import Server
from openstack.connection import Connection
from openstack.exceptions import NotFoundException

from openstack_cloud.waiting import SECONDS, until

BINARY = "nova-compute"
IMAGE = "tiny"
POLL_SECONDS = 0.2


def flavor(operator: Connection, vcpus: int, memory_mb: int, disk_gb: int) -> str:
    """Return the id of the flavor of this size, which is made if there is none."""
    name = f"{vcpus}-{memory_mb}-{disk_gb}"
    for found in operator.compute.flavors():
        if found.name == name:
            return str(found.id)
    made = operator.compute.create_flavor(name=name, vcpus=vcpus, ram=memory_mb, disk=disk_gb)
    return str(made.id)


def boot(
    connection: Connection, name: str, host: str | None, size: tuple[int, int, int], image: str
) -> Server:
    """Ask for a server, on a host if one is named; `wait_until_active` waits for it."""
    where = {"host": host} if host else {}
    vcpus, memory_mb, disk_gb = size
    server: Server = connection.compute.create_server(
        name=name,
        flavor_id=connection.compute.find_flavor(
            f"{vcpus}-{memory_mb}-{disk_gb}", ignore_missing=False
        ).id,
        image_id=image,
        networks="none",
        **where,
    )
    return server


def wait_until_active(connection: Connection, server: Server) -> Server:
    """Wait until a server runs.

    Raises:
        openstack.exceptions.ResourceFailure: It went to ERROR.
    """
    active: Server = connection.compute.wait_for_server(
        server, interval=POLL_SECONDS, wait=int(SECONDS)
    )
    return active


def delete(connection: Connection, server: Server | str) -> None:
    """Delete a server and wait until it is gone."""
    connection.compute.delete_server(server, ignore_missing=True)
    with suppress(NotFoundException):
        found = connection.compute.get_server(server)
        connection.compute.wait_for_delete(found, interval=POLL_SECONDS, wait=int(SECONDS))


def move(operator: Connection, server: Server, host: str) -> None:
    """Migrate a running server to a host, and wait until it runs there."""
    operator.compute.live_migrate_server(server, host=host, force=False, block_migration="auto")

    def is_there() -> bool:
        found = operator.compute.get_server(server)
        return bool(found.compute_host == host and found.status == "ACTIVE")

    until(is_there, f"server {server.name} on {host}")


def compute_services(operator: Connection) -> dict[str, Any]:
    """Return Nova's service of each host by its name: `state`, `status`, `is_forced_down`."""
    return {service.host: service for service in operator.compute.services(binary=BINARY)}


def wait_for_state(operator: Connection, host: str, state: str) -> None:
    """Wait until Nova calls the service of a host `up` or `down`."""
    until(
        lambda: host in (known := compute_services(operator)) and known[host].state == state,
        f"nova-compute of {host} to be {state}",
    )


def usages(operator: Connection) -> dict[str, dict[str, int]]:
    """Return what servers use by host and resource class, as Placement has it."""
    placement = operator.placement
    return {
        provider["name"]: placement.get(f"/resource_providers/{provider['uuid']}/usages").json()[
            "usages"
        ]
        for provider in placement.get("/resource_providers").json()["resource_providers"]
    }


def allocations(operator: Connection, server: str) -> Mapping[str, Any]:
    """Return what Placement has of a server: UUID of a provider → its resources."""
    answer = operator.placement.get(f"/allocations/{server}").json()
    found: dict[str, Any] = answer["allocations"]
    return found
