"""How each service is started."""

from __future__ import annotations

import sys
from pathlib import Path

from openstack_cloud import servers
from openstack_cloud.installing import FOLDER
from openstack_cloud.layout import Layout
from openstack_cloud.processes import Processes

HERE = Path(__file__).parent
SERVED = {
    "keystone": ("keystone", "keystone"),
    "placement": ("placement", "placement"),
    "placement2": ("placement", "placement2"),
    "glance": ("glance", "glance"),
    "nova-api": ("nova-api", "nova"),
}
"""Service → its application, and its folder of configuration."""
SILENT = {"conductor": "nova-conductor", "scheduler": "nova-scheduler"}
"""Service that has no port → its program."""
NAMES = ("keystone", "placement", "glance", "neutron", "nova-api", "conductor", "scheduler")
"""What runs in every cloud beside MariaDB, RabbitMQ and the computes; keystone goes first."""


def start_service(name: str, layout: Layout, processes: Processes) -> None:
    """Start MariaDB, RabbitMQ or a service; returns at once, before it serves."""
    if name == "mariadb":
        servers.start_mariadb(layout, processes)
    elif name == "rabbitmq":
        servers.start_rabbitmq(layout, processes)
    elif name == "neutron":
        program = [sys.executable, "-I", str(HERE / "neutron_stub.py")]
        processes.start(name, [*program, str(layout.ports[name])])
    elif name in SILENT:
        log = ["--log-file", str(layout.log(name))]
        processes.start(name, [FOLDER / "bin" / SILENT[name], *nova_options(layout), *log])
    else:
        application, folder = SERVED[name]
        # -I: beside the program stand modules named like the services' own.
        program = [str(FOLDER / "bin" / "python"), "-I", str(HERE / "applications.py")]
        port = str(layout.ports[name])
        processes.start(name, [*program, application, port, str(layout.path("etc", folder))])


def nova_options(layout: Layout) -> list[str]:
    """Return the options that all programs of Nova take."""
    return ["--config-file", str(layout.path("etc", "nova", "nova.conf"))]
