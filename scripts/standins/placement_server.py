"""The real Placement service, on loopback, in a child process.

Writes go through its API, as Nova's do; `placement_app` is the child.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from standins.children import unmeasured

APP = Path(__file__).with_name("placement_app.py")
HEADERS = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.38"}
UNIT = {"reserved": 0, "min_unit": 1, "step_size": 1, "allocation_ratio": 1.0}


class Placement:
    """One Placement service and its database."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.database = folder / "placement.sqlite"
        self.options = options
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the service, on its port of before if it had one; returns once it answers."""
        arguments = [sys.executable, str(APP), str(self.database), str(self.port)]
        self.child = subprocess.Popen(
            [*arguments, *(f"{name}={value}" for name, value in self.options.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=unmeasured(),
        )
        assert self.child.stdout is not None
        self.port = int(self.child.stdout.readline())
        self.client = httpx.Client(base_url=self.url, headers=HEADERS, timeout=120)

    def stop(self) -> None:
        """Kill the service; its database stays."""
        self.client.close()
        self.child.kill()
        self.child.communicate()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def add(self, name: str, **totals: int) -> str:
        """Add a root provider with these totals by resource class; returns its UUID."""
        return self.add_child(None, name, **totals)

    def add_child(self, parent: str | None, name: str, **totals: int) -> str:
        """Add a provider below another; returns its UUID."""
        uuid = str(uuid4())
        body = {"name": name, "uuid": uuid, "parent_provider_uuid": parent}
        self.call("POST", "/resource_providers", body)
        self.inventory(uuid, {resource: {"total": total} for resource, total in totals.items()})
        return uuid

    def inventory(self, provider: str, records: Mapping[str, dict[str, Any]]) -> None:
        """Replace a provider's inventories; fields left out of a record are as Nova sets them."""
        full = {
            resource: UNIT | {"max_unit": record["total"] or 1} | record
            for resource, record in records.items()
        }
        self._replace(provider, "inventories", full)

    def traits(self, provider: str, *names: str) -> None:
        self._replace(provider, "traits", list(names))

    def aggregates(self, provider: str, *uuids: str) -> None:
        self._replace(provider, "aggregates", list(uuids))

    def _replace(self, provider: str, part: str, value: Any) -> None:
        generation = self.call("GET", f"/resource_providers/{provider}")["generation"]
        body = {"resource_provider_generation": generation, part: value}
        self.call("PUT", f"/resource_providers/{provider}/{part}", body)

    def boot(self, consumer: str, **allocations: Mapping[str, int]) -> None:
        """Set a server's allocations, as in `boot(server, **{provider: {"VCPU": 2}})`."""
        generation = self.call("GET", f"/allocations/{consumer}").get("consumer_generation")
        body = {
            "allocations": {uuid: {"resources": amounts} for uuid, amounts in allocations.items()},
            "consumer_generation": generation,
            "consumer_type": "INSTANCE",
            "project_id": "project",
            "user_id": "user",
        }
        self.call("PUT", f"/allocations/{consumer}", body)

    def delete(self, consumer: str) -> None:
        """Remove a server's allocations as Nova's local delete does: no generation moves."""
        self.client.delete(f"/allocations/{consumer}")

    def clear(self) -> None:
        """Delete every provider and allocation."""
        providers = self.call("GET", "/resource_providers")["resource_providers"]
        for provider in sorted(providers, key=lambda entry: entry["parent_provider_uuid"] is None):
            path = f"/resource_providers/{provider['uuid']}"
            for consumer in self.call("GET", f"{path}/allocations")["allocations"]:
                self.delete(consumer)
            self.call("DELETE", path)
