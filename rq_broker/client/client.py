"""The Python client, sync and async: a method a verb, named as the broker's own.

Both make the same calls and open answers alike (see calls.py); a refusal raises the class of
errors.py that its code names. Trouble on the way raises httpx's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Self, Unpack

import httpx

from rq_broker.client import calls

_TIMEOUT_SECONDS = 10.0


class Client:
    """The sync client of the API at `url`; jobs, hosts and policies are JSON as it shows them."""

    def __init__(self, url: str, *, http: httpx.Client | None = None) -> None:
        self._http = http or httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, call: calls.Call) -> calls.Json:
        request = self._http.build_request(
            call.method, call.path, json=call.body, params=call.query
        )
        return calls.opened(self._http.send(request))

    def jobs(self, type_: str, **wanted: Unpack[calls.Filter]) -> Iterator[calls.Json]:
        """List jobs in priority order, a page of the API at a time."""
        cursor: str | None = ""
        while cursor is not None:
            envelope = self._send(calls.page(type_, wanted, cursor))
            yield from envelope["data"]
            cursor = envelope["next"]

    def submit(self, type_: str, **job: Unpack[calls.NewJob]) -> calls.Json:
        """Put a job in line."""
        found: calls.Json = self._send(calls.Call("POST", calls.path("v1", type_), job))["data"]
        return found

    def read(self, type_: str, request_id: str) -> calls.Json:
        """Read one job; while it waits, also why."""
        found: calls.Json = self._send(calls.job("GET", type_, request_id))["data"]
        return found

    def reorder(self, type_: str, request_id: str, **place: Unpack[calls.Place]) -> None:
        """Give a job another place in line."""
        self._send(calls.job("POST", type_, request_id, place))

    def transition(
        self, type_: str, request_id: str, status: str, **belief: Unpack[calls.Belief]
    ) -> None:
        """Give a job another status."""
        self._send(calls.move(type_, request_id, status, belief))

    def withdraw(self, type_: str, request_id: str) -> None:
        """Take a job out altogether."""
        self._send(calls.job("DELETE", type_, request_id))

    def attempts(self, type_: str, request_id: str) -> list[calls.Json]:
        """Read what came of each attempt to call a job back, oldest first."""
        found: list[calls.Json] = self._send(
            calls.Call("GET", calls.path("v1", type_, request_id, "attempts"))
        )["data"]
        return found

    def types(self) -> calls.Json:
        """Count the jobs of every type, per status."""
        found: calls.Json = self._send(calls.Call("GET", "/v1"))["data"]
        return found

    def policy(self, type_: str) -> calls.Json:
        """Read a type's policy and counts."""
        found: calls.Json = self._send(calls.type_call("GET", type_))["data"]
        return found

    def set_policy(self, type_: str, **changes: Unpack[calls.PolicyChange]) -> calls.Json:
        """Change the named fields of a type's policy."""
        found: calls.Json = self._send(calls.type_call("PUT", type_, changes))["data"]
        return found

    def hosts(self, type_: str) -> list[calls.Json]:
        """Read all hosts, by name."""
        found: list[calls.Json] = self._send(
            calls.Call("GET", calls.path("types", type_, "hosts"))
        )["data"]
        return found

    def host(self, type_: str, name: str) -> calls.Json:
        """Read one host."""
        found: calls.Json = self._send(calls.host("GET", type_, name))["data"]
        return found

    def set_host(self, type_: str, name: str, **host: Unpack[calls.NewHost]) -> calls.Json:
        """Publish a host."""
        found: calls.Json = self._send(calls.host("PUT", type_, name, host))["data"]
        return found

    def drop_host(self, type_: str, name: str) -> None:
        """Take a host out of service."""
        self._send(calls.host("DELETE", type_, name))

    def destinations(self, type_: str) -> calls.Json:
        """Read `destinations`, and as `outage` whether most of them fail at once."""
        found: calls.Json = self._send(calls.under("GET", type_, "destinations"))["data"]
        return found

    def reset(self, type_: str, destination: str) -> None:
        """Close a destination's breaker by hand."""
        body = {"destination": destination}
        self._send(calls.under("POST", type_, "destinations", "reset", body=body))

    def requeue(self, type_: str, destination: str) -> int:
        """Put every job back in line whose callbacks to this destination failed; how many."""
        body = {"destination": destination}
        answer = self._send(calls.under("POST", type_, "destinations", "requeue", body=body))
        return int(answer["data"]["requeued"])

    def keys(self, type_: str) -> dict[str, list[str]]:
        """Read the fingerprints of the signing keys: owner or `*` → the newest first."""
        found: dict[str, list[str]] = self._send(calls.under("GET", type_, "keys"))["data"]
        return found

    def set_keys(self, type_: str, owner: str, keys: Sequence[str]) -> dict[str, list[str]]:
        """Set the signing keys of an owner, or of `*`, the newest first; returns as `keys`."""
        body = {"owner": owner, "keys": list(keys)}
        answer = self._send(calls.under("PUT", type_, "keys", body=body))
        found: dict[str, list[str]] = answer["data"]
        return found


class AsyncClient:
    """The async client of the API at `url`; awaits, else as Client."""

    def __init__(self, url: str, *, http: httpx.AsyncClient | None = None) -> None:
        self._http = http or httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, call: calls.Call) -> calls.Json:
        request = self._http.build_request(
            call.method, call.path, json=call.body, params=call.query
        )
        return calls.opened(await self._http.send(request))

    async def jobs(self, type_: str, **wanted: Unpack[calls.Filter]) -> AsyncIterator[calls.Json]:
        """List jobs in priority order, a page of the API at a time."""
        cursor: str | None = ""
        while cursor is not None:
            envelope = await self._send(calls.page(type_, wanted, cursor))
            for job in envelope["data"]:
                yield job
            cursor = envelope["next"]

    async def submit(self, type_: str, **job: Unpack[calls.NewJob]) -> calls.Json:
        """Put a job in line."""
        found: calls.Json = (await self._send(calls.Call("POST", calls.path("v1", type_), job)))[
            "data"
        ]
        return found

    async def read(self, type_: str, request_id: str) -> calls.Json:
        """Read one job; while it waits, also why."""
        found: calls.Json = (await self._send(calls.job("GET", type_, request_id)))["data"]
        return found

    async def reorder(self, type_: str, request_id: str, **place: Unpack[calls.Place]) -> None:
        """Give a job another place in line."""
        await self._send(calls.job("POST", type_, request_id, place))

    async def transition(
        self, type_: str, request_id: str, status: str, **belief: Unpack[calls.Belief]
    ) -> None:
        """Give a job another status."""
        await self._send(calls.move(type_, request_id, status, belief))

    async def withdraw(self, type_: str, request_id: str) -> None:
        """Take a job out altogether."""
        await self._send(calls.job("DELETE", type_, request_id))

    async def attempts(self, type_: str, request_id: str) -> list[calls.Json]:
        """Read what came of each attempt to call a job back, oldest first."""
        found: list[calls.Json] = (
            await self._send(calls.Call("GET", calls.path("v1", type_, request_id, "attempts")))
        )["data"]
        return found

    async def types(self) -> calls.Json:
        """Count the jobs of every type, per status."""
        found: calls.Json = (await self._send(calls.Call("GET", "/v1")))["data"]
        return found

    async def policy(self, type_: str) -> calls.Json:
        """Read a type's policy and counts."""
        found: calls.Json = (await self._send(calls.type_call("GET", type_)))["data"]
        return found

    async def set_policy(self, type_: str, **changes: Unpack[calls.PolicyChange]) -> calls.Json:
        """Change the named fields of a type's policy."""
        found: calls.Json = (await self._send(calls.type_call("PUT", type_, changes)))["data"]
        return found

    async def hosts(self, type_: str) -> list[calls.Json]:
        """Read all hosts, by name."""
        found: list[calls.Json] = (
            await self._send(calls.Call("GET", calls.path("types", type_, "hosts")))
        )["data"]
        return found

    async def host(self, type_: str, name: str) -> calls.Json:
        """Read one host."""
        found: calls.Json = (await self._send(calls.host("GET", type_, name)))["data"]
        return found

    async def set_host(self, type_: str, name: str, **host: Unpack[calls.NewHost]) -> calls.Json:
        """Publish a host."""
        found: calls.Json = (await self._send(calls.host("PUT", type_, name, host)))["data"]
        return found

    async def drop_host(self, type_: str, name: str) -> None:
        """Take a host out of service."""
        await self._send(calls.host("DELETE", type_, name))

    async def destinations(self, type_: str) -> calls.Json:
        """Read `destinations`, and as `outage` whether most of them fail at once."""
        found: calls.Json = (await self._send(calls.under("GET", type_, "destinations")))["data"]
        return found

    async def reset(self, type_: str, destination: str) -> None:
        """Close a destination's breaker by hand."""
        body = {"destination": destination}
        await self._send(calls.under("POST", type_, "destinations", "reset", body=body))

    async def requeue(self, type_: str, destination: str) -> int:
        """Put every job back in line whose callbacks to this destination failed; how many."""
        body = {"destination": destination}
        answer = await self._send(calls.under("POST", type_, "destinations", "requeue", body=body))
        return int(answer["data"]["requeued"])

    async def keys(self, type_: str) -> dict[str, list[str]]:
        """Read the fingerprints of the signing keys: owner or `*` → the newest first."""
        found: dict[str, list[str]] = (await self._send(calls.under("GET", type_, "keys")))["data"]
        return found

    async def set_keys(self, type_: str, owner: str, keys: Sequence[str]) -> dict[str, list[str]]:
        """Set the signing keys of an owner, or of `*`, the newest first; returns as `keys`."""
        body = {"owner": owner, "keys": list(keys)}
        answer = await self._send(calls.under("PUT", type_, "keys", body=body))
        found: dict[str, list[str]] = answer["data"]
        return found
