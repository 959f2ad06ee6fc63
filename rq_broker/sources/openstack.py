"""One OpenStack service, called with the operator's own login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import orjson
from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from keystoneauth1.plugin import BaseAuthPlugin
from openstack.config.cloud_region import CloudRegion

from rq_broker.sources.failures import (
    STATUS_FAILURES,
    Faulty,
    Misconfigured,
    SourceFailed,
)
from rq_broker.sources.login import Access, Login
from rq_broker.sources.openstack_errors import connection_failure, json_of, sentence_of

Item = TypeVar("Item")

FAILURES = (keystone.ClientException, OSError, ValueError)
"""What a request raises; a ValueError for a body that is not JSON."""


class Service:
    """Sends GET requests to one service.

    keystoneauth blocks, so requests run in `connections` threads, as many at the same time.
    """

    def __init__(
        self,
        region: CloudRegion,
        type_: str,
        microversion: str | None = None,
        *,
        role: str,
        timeout: float,
        connections: int,
        version: str | None = None,
    ) -> None:
        """Prepare a login; nothing is sent yet.

        Args:
            region: The cloud.
            type_: Type of the service in the catalogue.
            microversion: Sent with each request; None: none.
            role: The role that the service's own policy asks for, for sentences.
            timeout: Seconds that the service, or Keystone at a login, may be silent.
            connections: Requests at the same time.
            version: Major version of the API, if the URL in the catalogue may lack it.
        """
        self.type = type_
        self.role = role
        """The role that the service's own policy asks for."""
        self.requests = 0
        """Number of requests so far, without those of logins."""
        self._timeout = timeout
        self._connections = connections
        self._threads = self._new_threads()
        self._session = region.get_session()
        self._session.timeout = timeout  # of logins
        self._adapter = Adapter(
            session=self._session,
            service_type=region.get_service_type(type_),
            interface=region.get_interface(type_),
            region_name=region.get_region_name(type_),
            endpoint_override=region.get_endpoint(type_),
            default_microversion=microversion,
            version=version,
        )
        self._login = Login(region, self._adapter)

    def _new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._connections, f"rq-broker-{self.type}")

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at a path; `headers` are sent beside those of the login.

        Raises:
            Missing: The service itself, not what stands before it, answers 404.
            SourceFailed: It fails otherwise; the class says how.
        """
        self.requests += 1
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._get, path, headers or {})

    def _get(self, path: str, headers: Mapping[str, str]) -> Any:
        access = self._login.access()
        try:
            return self._send(path, headers, access)
        except keystone.Unauthorized as error:
            refused = error  # the token was revoked, or its keys are gone
        except FAILURES as error:
            raise self._failure_of(path, error) from error
        # Outside of the handlers, so that a login that fails does not look as if 401 caused it.
        renewed = self._login.renewed(access)
        if renewed is None:
            raise self._failure_of(path, refused) from refused
        try:
            return self._send(path, headers, renewed)
        except FAILURES as error:
            raise self._failure_of(path, error) from error

    def _send(self, path: str, more_headers: Mapping[str, str], access: Access) -> Any:
        # The token is in the headers, so the library does not log in by itself within the request.
        headers = {"Accept": "application/json"} | dict(access.headers) | dict(more_headers)
        overridden = self._adapter.endpoint_override  # may have a template that the library fills
        url = path if overridden else access.endpoint.rstrip("/") + path
        answer = self._adapter.get(url, headers=headers, authenticated=False, timeout=self._timeout)
        return orjson.loads(answer.content)

    def _failure_of(self, path: str, error: Exception) -> SourceFailed:
        advice = ""
        if isinstance(error, keystone.Forbidden):
            advice = f"; it needs the role {self.role} in a project{self._login.roles()}"
        return _failure(error)(f"{self.type} {path}: {sentence_of(error)}{advice}")

    async def token_for(self, login: BaseAuthPlugin) -> str:
        """Return a token of somebody else's login. Raises keystoneauth's ClientException."""
        loop = asyncio.get_running_loop()
        token = await loop.run_in_executor(self._threads, login.get_token, self._session)
        return token or ""

    def renew(self) -> None:
        """Replace connections and threads: a thread that hangs would block later requests."""
        self.close()
        self._threads = self._new_threads()

    def close(self) -> None:
        """Close the connections and abandon the threads, hanging ones included."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.session.close()


def _failure(error: Exception) -> type[SourceFailed]:
    """Return the failure for what a request raised, or for a body that is not JSON."""
    if not isinstance(error, keystone.HttpError):
        return connection_failure(error) or Faulty
    if error.http_status == 404 and json_of(error.response) is None:
        return Faulty  # a proxy's own page says nothing about what the service has
    if error.http_status == 400:
        return Misconfigured
    return STATUS_FAILURES.get(error.http_status, Faulty)


async def run_all(read: Callable[[Item], Coroutine[Any, Any, None]], items: Iterable[Item]) -> None:
    """Run `read` on all items at the same time; the first failure cancels the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(read(item))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
