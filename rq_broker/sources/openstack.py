"""One OpenStack service, called with the operator's own login: clouds.yaml or OS_* variables.

openstacksdk's configuration loader is the one that the OpenStack command line uses, so every login
that works there works here: password, application credential, token, and the rest.
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

from rq_broker.sources.failures import (
    Faulty,
    Misconfigured,
    Missing,
    Refused,
    SourceFailed,
    Unreachable,
)

Item = TypeVar("Item")

FAILURES: tuple[tuple[tuple[type[Exception], ...], type[SourceFailed]], ...] = (
    ((keystone.NotFound,), Missing),
    ((keystone.Unauthorized, keystone.Forbidden, keystone.AuthorizationFailure), Refused),
    (
        (keystone.CatalogException, keystone.AuthPluginException, ConfigException),
        Misconfigured,
    ),
    ((keystone.ConnectTimeout, keystone.ConnectFailure, keystone.SSLError), Unreachable),
)
"""Exceptions of keystoneauth → the broker's; the first row that fits. All others are Faulty."""


def region_of(cloud: str | None, region: str | None) -> CloudRegion:
    """Return the cloud that `openstack --os-cloud … --os-region-name …` would use.

    Nothing is sent. None stands for an option that is left out.

    Raises:
        Misconfigured: There is no such cloud or region, or its login is incomplete.
    """
    options: dict[str, Any] = {}
    if cloud:
        options["cloud"] = cloud
    if region:
        options["region_name"] = region
    try:
        with warnings.catch_warnings():
            # openstacksdk warns that InfluxDB is not installed, which only its metrics need.
            warnings.filterwarnings("ignore", message="Support for InfluxDB")
            cloud_region = OpenStackConfig().get_one(**options)
        cloud_region.get_session()
    except (
        ConfigException,
        keystone.ClientException,
        TypeError,  # a login without its password
    ) as error:
        raise Misconfigured(f"OpenStack's settings: {error}") from error
    return cloud_region


class Service:
    """Sends GET requests to one service.

    keystoneauth blocks, so requests run in `connections` threads, as many at the same time.
    """

    def __init__(
        self, region: CloudRegion, type_: str, microversion: str, timeout: float, connections: int
    ) -> None:
        self.type = type_
        self.requests = 0
        """Number of requests so far, without those of logins."""
        self._timeout = timeout
        self._connections = connections
        self._threads = self._new_threads()
        self._session = region.get_session()
        self._adapter = Adapter(
            session=self._session,
            service_type=region.get_service_type(type_),
            interface=region.get_interface(type_),
            region_name=region.get_region_name(type_),
            endpoint_override=region.get_endpoint(type_),
            default_microversion=microversion,
        )

    def _new_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._connections, f"rq-broker-{self.type}")

    async def get(self, path: str) -> Any:
        """Return the JSON at a path.

        Raises:
            Missing: The service answers 404.
            SourceFailed: It fails otherwise; the class says how.
        """
        self.requests += 1
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._get, path)

    def _get(self, path: str) -> Any:
        accept = {"Accept": "application/json"}
        try:
            answer = self._adapter.get(path, headers=accept, timeout=self._timeout)
            return orjson.loads(answer.content)
        except (keystone.ClientException, ConfigException, ValueError) as error:
            raise failure_of(self.type, path, error) from error

    def renew(self) -> None:
        """Replace connections and threads: a thread that hangs would block later requests."""
        self.close()
        self._threads = self._new_threads()

    def close(self) -> None:
        """Close the connections and abandon the threads, hanging ones included."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.session.close()


def failure_of(service: str, path: str, error: Exception) -> SourceFailed:
    """Return the SourceFailed for what keystoneauth raised, or for a body that is not JSON."""
    sentence = f"{service} {path}: {error or type(error).__name__}"
    for exceptions, failure in FAILURES:
        if isinstance(error, exceptions):
            return failure(sentence)
    return Faulty(sentence)


async def run_all(read: Callable[[Item], Coroutine[Any, Any, None]], items: Iterable[Item]) -> None:
    """Run `read` on all items at the same time; the first failure cancels the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(read(item))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
