"""The hosts: each a nova-compute with a fake hypervisor, of a size of its own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from openstack_cloud.configuration import write_compute
from openstack_cloud.installing import FOLDER
from openstack_cloud.layout import Layout
from openstack_cloud.processes import Processes
from openstack_cloud.services import nova_options

RESERVED_MB = 512
"""What Nova keeps of each host's memory for the host itself: its default."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a host offers to servers."""

    vcpus: int = 4
    memory_mb: int = 8192
    disk_gb: int = 100


def start_compute(host: str, size: Size, layout: Layout, processes: Processes) -> None:
    """Start nova-compute of a host; returns at once, before Nova knows that it is up."""
    node = str(uuid.uuid5(uuid.NAMESPACE_DNS, host))  # as the fake hypervisor computes it
    write_compute(layout, host, node)
    options = ["--config-file", str(layout.path("etc", "nova", f"{host}.conf"))]
    processes.start(
        host,
        [FOLDER / "bin" / "nova-compute", *nova_options(layout), *options],
        CLOUD_NODE_UUID=node,
        CLOUD_VCPUS=str(size.vcpus),
        CLOUD_MEMORY_MB=str(size.memory_mb + RESERVED_MB),
        CLOUD_DISK_GB=str(size.disk_gb),
    )
