"""The broker under chaos: a Redis, an API, two notifiers whose source logs in through Keystone."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import httpx
from faulting.processes import Processes
from openstack_cloud import Cloud
from openstack_cloud.proxy import ServiceProxy

from chaosing.clients import SETTLE_SECONDS, TYPE
from chaosing.lab import until
from rq_broker.client import Client
from rq_broker.client.policy_types import PolicyChange
from rq_broker.domain.errors import BrokerError
from rq_broker.store.embedded import Server as Store

DELAY_SECONDS = 1.5
"""What a slow Placement adds to each answer: below the source's `timeout`, above its `interval`."""
SOURCES = f"""
[[source]]
type = "{TYPE}"
kind = "placement"
cloud = "chaos"
interval = 2
timeout = 5
"""
POLICY: PolicyChange = {
    "holds": "until_seen",
    "settle": SETTLE_SECONDS,
    "offer": 25,
    "running": 60,
    "retention": 3600,
    "patience": 30,
}
"""Short limits: a dead client's job must end within the run. `settle` is longer than a boot takes,
`running` longer than a client's servers live without a word."""


class Deployment:
    """The broker's processes, the proxy before Placement, and their files in a folder."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.cloud.layout.ports["placement"]
        self.placement = self._stack.enter_context(ServiceProxy(target, DELAY_SECONDS))
        self.store = Store(self.folder / "redis")
        self.store.start()
        self._stack.callback(self.store.stop)
        login = self.cloud.login_as("broker")
        login["placement_endpoint_override"] = self.placement.url
        clouds = self.cloud.write_clouds(self.folder / "clouds.yaml", chaos=login)
        sources = self.folder / "sources.toml"
        sources.write_text(SOURCES)
        self.processes = Processes(
            self.store.url,
            self.folder,
            notifier_options=["--source", str(sources)],
            variables={"OS_CLIENT_CONFIG_FILE": str(clouds)},
        )
        self.processes.start()
        self._stack.callback(self.processes.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def api(self) -> str:
        """The API's URL."""
        return self.processes.api

    def await_hosts(self, broker: Client, count: int) -> None:
        """Wait until the source has reported so many hosts."""

        def reported() -> bool:
            with suppress(httpx.HTTPError, BrokerError):  # the API has not begun to serve
                return len(broker.hosts(TYPE)) == count
            return False

        until(reported, f"the source has not {count} hosts")

    def audit(self) -> tuple[int, str]:
        """Run `rq-broker audit`; return its exit code and what it printed."""
        command = [sys.executable, "-m", "rq_broker.cli", "audit", "--redis", self.store.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    def tracebacks(self) -> list[str]:
        """List the log files that hold a traceback."""
        return [
            log.name
            for log in sorted(self.folder.glob("*.log"))
            if "Traceback" in log.read_text(errors="replace")
        ]
