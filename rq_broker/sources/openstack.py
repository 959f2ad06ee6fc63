"""One OpenStack service, spoken to with the operator's own login: clouds.yaml, OS_* variables.

openstacksdk's configuration loader is what the OpenStack command line reads them with, so every way
to log in that works there works here: password, application credential, token, and the rest.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import orjson
from keystoneauth1 import exceptions as keystone
from keystoneauth1.adapter import Adapter
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import ConfigException

from rq_broker.sources import (
    Faulty,
    Misconfigured,
    Missing,
    Refused,
    SourceFailed,
    Unreachable,
)

Item = TypeVar("Item")

REFUSALS = (keystone.Unauthorized, keystone.Forbidden, keystone.AuthorizationFailure)
SILENCES = (keystone.ConnectTimeout, keystone.ConnectFailure, keystone.SSLError)
MISTAKES = (keystone.CatalogException, keystone.AuthPluginException, ConfigException)


def region_of(cloud: str | None, region: str | None) -> CloudRegion:
    """Find the cloud as `openstack --os-cloud … --os-region-name …` would; sends nothing."""
    chosen: dict[str, Any] = {"cloud": cloud, "region_name": region}
    try:
        with warnings.catch_warnings():  # openstacksdk speaks of InfluxDB to those who have none
            warnings.filterwarnings("ignore", message="Support for InfluxDB")
            found = OpenStackConfig().get_one(**{key: one for key, one in chosen.items() if one})
        found.get_session()
    except (
        ConfigException,
        keystone.ClientException,
        TypeError,
    ) as error:  # TypeError: no password
        raise Misconfigured(f"OpenStack's settings: {error}") from error
    return found


class Service:
    """GETs from one service, `connections` at once, in threads: keystoneauth blocks."""

    def __init__(
        self, region: CloudRegion, type_: str, microversion: str, timeout: float, connections: int
    ) -> None:
        self.type = type_
        self.requests = 0
        """How many were sent so far, logins aside."""
        self._timeout = timeout
        self._connections = connections
        self._pool = self._threads()
        self._session = region.get_session()
        self._adapter = Adapter(
            session=self._session,
            service_type=region.get_service_type(type_),
            interface=region.get_interface(type_),
            region_name=region.get_region_name(type_),
            endpoint_override=region.get_endpoint(type_),
            default_microversion=microversion,
        )

    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._connections, f"rq-broker-{self.type}")

    async def get(self, path: str) -> Any:
        """Ask for JSON; raises SourceFailed, and Missing in particular where there is none."""
        self.requests += 1
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._get, path)

    def _get(self, path: str) -> Any:
        accept = {"Accept": "application/json"}
        try:
            answer = self._adapter.get(path, headers=accept, timeout=self._timeout)
            return orjson.loads(answer.content)
        except (keystone.ClientException, ConfigException, ValueError) as error:
            raise failure(self.type, path, error) from error

    def renew(self) -> None:
        """Start afresh with other threads: one that hangs must not starve those to come."""
        self.close()
        self._pool = self._threads()

    def close(self) -> None:
        """Let go of connections and threads, also of one that hangs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.session.close()


def failure(service: str, path: str, error: Exception) -> SourceFailed:
    """Say in our own classes what keystoneauth reports."""
    text = f"{service} {path}: {error or type(error).__name__}"
    if isinstance(error, keystone.NotFound):
        return Missing(text)
    if isinstance(error, REFUSALS):
        return Refused(text)
    if isinstance(error, MISTAKES):
        return Misconfigured(text)
    if isinstance(error, SILENCES):
        return Unreachable(text)
    return Faulty(text)


async def each(read: Callable[[Item], Coroutine[Any, Any, None]], items: Iterable[Item]) -> None:
    """Run all at once; the first failure ends the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(read(item))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
