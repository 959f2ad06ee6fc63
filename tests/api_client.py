"""A client of one or more API processes; and the request of the service that came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
from standins.receivers import Receiver

from tests.processes import Child, until

SEED = {
    "request_id": "d",
    "owner_id": "y",
    "data": {
        "instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}],
        "project": "project id",
    },
    "callback": "abc",
}
"""The request body in the original service's documentation."""


class ApiClient:
    """A client that calls the API processes in turn."""

    def __init__(self, apis: Sequence[Child]) -> None:
        limits = httpx.Limits(max_connections=64)
        self._clients = [
            httpx.AsyncClient(base_url=api.url, timeout=30, limits=limits) for api in apis
        ]
        self._calls = 0
        self.headers: dict[str, str] = {}
        """Sent with every call."""

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the next process."""
        self._calls += 1
        client = self._clients[self._calls % len(self._clients)]
        return await client.request(method, path, json=body, headers=self.headers)

    async def publish(self, capacity: dict[str, int]) -> None:
        """Publish hosts: name → VCPU."""
        for name, amount in capacity.items():
            body = {"capacity": {"VCPU": amount}}
            assert (await self.ask("PUT", f"/types/vm/hosts/{name}", body)).is_success

    async def submit(self, receiver: Receiver, request_id: str, *vcpus: int) -> None:
        """Submit a job of instances that need so many VCPU each, one VCPU if none is given."""
        body = {
            "request_id": request_id,
            "owner_id": "y",
            "data": {"instances": [{"VCPU": amount} for amount in vcpus or (1,)]},
            "callback": receiver.url(path=f"/{request_id}"),
        }
        answer = await self.ask("POST", "/v1/vm", body)
        assert answer.status_code == 201, answer.text

    async def job(self, request_id: str) -> dict[str, Any]:
        """Read a job."""
        answer = await self.ask("GET", f"/v1/vm/{request_id}")
        job: dict[str, Any] = answer.json()["data"]
        return job

    async def count(self, status: str) -> int:
        """Count the jobs of a status."""
        types = (await self.ask("GET", "/v1")).json()["data"]
        count: int = types["vm"][status]
        return count

    async def until(self, status: str, *request_ids: str) -> None:
        """Wait until all these jobs have a status."""

        async def have_status() -> bool:
            statuses = [(await self.job(request_id))["Status"] for request_id in request_ids]
            return statuses == [status] * len(request_ids)

        await until(have_status, f"{request_ids} to be {status}")

    async def until_count(self, status: str, count: int) -> None:
        """Wait until so many jobs have a status."""

        async def have_status() -> bool:
            return await self.count(status) == count

        await until(have_status, f"{count} to be {status}")
