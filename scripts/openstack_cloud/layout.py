"""Where the parts of one cloud are: its directory and its ports on loopback."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
REGION = "lab1"
"""The region with compute hosts."""
OTHER_REGION = "lab2"
"""A region that has a Placement only, for installations that span several."""
SERVERS = ("mariadb", "rabbitmq", "rabbitmq-peers", "epmd")
SERVICES = ("keystone", "placement", "placement2", "glance", "neutron", "nova-api")
PORTS = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections, which could take one in between."""
FOLDERS = ("etc", "log", "run", "data", "images", "state", "home")


_given: set[int] = set()
"""Ports given away by this process: whoever has one may listen there later, or be stopped now."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on, drawn from PORTS; each one once."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        if port in _given:
            continue
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0:
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
                _given.add(port)
                return port


def serves(port: int) -> bool:
    """Tell whether something accepts connections on this port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


@dataclass(frozen=True)
class Layout:
    """The directory and the ports of one cloud."""

    directory: Path
    ports: dict[str, int] = field(default_factory=dict)
    """Part → its port."""

    @classmethod
    def make(cls, directory: Path) -> Layout:
        """Make the folders, and choose ports that are free now."""
        layout = cls(directory.resolve(), {name: free_port() for name in (*SERVERS, *SERVICES)})
        for name in FOLDERS:
            layout.path(name).mkdir(parents=True, exist_ok=True)
        return layout

    def path(self, *parts: str) -> Path:
        """Return a path in the directory."""
        return self.directory.joinpath(*parts)

    def log(self, name: str) -> Path:
        """Return the log of a process: what it prints, and what it logs itself."""
        return self.path("log", f"{name}.log")

    def url(self, service: str) -> str:
        """Return the root URL of a service."""
        return f"http://{LOOPBACK}:{self.ports[service]}"

    @property
    def keystone(self) -> str:
        """The URL to log in at."""
        return f"{self.url('keystone')}/v3"

    def database(self, name: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return f"mysql+pymysql://cloud:cloud@{LOOPBACK}:{self.ports['mariadb']}/{name}"
