"""One small OpenStack on loopback, as an object; see the package for what it is good for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from openstack.compute.v2.server import Server
from openstack.connection import Connection

from openstack_cloud import configuration, databases, identity, nova, services
from openstack_cloud.computes import Size, start_compute
from openstack_cloud.identity import Login
from openstack_cloud.installing import install
from openstack_cloud.layout import REGION, Layout, serves
from openstack_cloud.processes import PATIENCE_SECONDS, Processes
from openstack_cloud.proxy import ServiceProxy
from openstack_cloud.waiting import until

HOSTS = ("c1", "c2", "c3", "c4")
SMALL = (2, 2048, 10)
"""VCPU, MB and GB of a server where nothing else is said."""


class Cloud:
    """Keystone, Placement, Glance, Nova and hosts; `with Cloud(directory) as cloud:` runs them.

    Args:
        directory: A folder that holds everything; what is in it from another cloud is removed.
        hosts: Names of the hosts to start with, or a map from name to size.
        token_seconds: How long a token of Keystone is valid.
        say: Called with a sentence before each step that takes time.
    """

    def __init__(
        self,
        directory: Path,
        hosts: Iterable[str] | Mapping[str, Size] = HOSTS,
        *,
        token_seconds: int = 3600,
        say: Callable[[str], None] = print,
    ) -> None:
        self.directory = directory
        self.hosts = dict(hosts) if isinstance(hosts, Mapping) else dict.fromkeys(hosts, Size())
        self._token_seconds = token_seconds
        self._say = say

    def __enter__(self) -> Self:
        self.start_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_all(self) -> None:
        """Install what is missing, and start everything; returns when every host is usable."""
        install(self._say)
        for name in ("data", "etc"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        self.layout = Layout.make(self.directory)
        self._processes = Processes(self.layout.path("log"))
        try:
            self._bring_up()
        except BaseException:
            self._processes.close()
            raise

    def close(self) -> None:
        """End every process, and remove what they wrote but the logs."""
        for name in ("operator", "image"):
            self.__dict__.pop(name, None)
        self._processes.close()
        for name in ("data", "images", "state", "run", "home"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _bring_up(self) -> None:
        started = time.monotonic()
        databases.copy_of(self.layout, self._say)
        self._say(f"starting OpenStack with {len(self.hosts)} hosts (half a minute) …")
        configuration.write_all(self.layout, self._token_seconds)
        self._start("rabbitmq")
        self.start("mariadb")
        databases.correct_catalogue(self.layout)
        self._start("keystone", "placement", "glance", "neutron")
        self._await("rabbitmq")
        self._start("conductor", "scheduler", "nova-api")
        for host, size in self.hosts.items():
            start_compute(host, size, self.layout, self._processes)
        self._await(*services.NAMES)
        _ = self.image
        self.wait_for_hosts(*self.hosts)
        self._say(f"OpenStack runs after {time.monotonic() - started:.0f} s")

    # Processes

    def start(self, *names: str) -> None:
        """Start services or hosts that were stopped or killed; returns when they serve."""
        self._start(*names)
        self._await(*names)

    def _start(self, *names: str) -> None:
        for name in names:
            if name in self.hosts:
                start_compute(name, self.hosts[name], self.layout, self._processes)
            else:
                services.start_service(name, self.layout, self._processes)

    def _await(self, *names: str) -> None:
        for name in names:
            if port := self.layout.ports.get(name):
                until(lambda name=name, port=port: self._serves(name, port), name)  # type: ignore[misc]  # a lambda's default has no type

    def _serves(self, name: str, port: int) -> bool:
        if not self.runs(name):
            raise RuntimeError(f"{name} ended by itself:\n{self._processes.output(name)}")
        return serves(port)

    def stop(self, *names: str, patience: float = PATIENCE_SECONDS) -> None:
        """Ask services or hosts to end; those that run after `patience` seconds are killed."""
        for name in names:
            self._processes.stop(name, patience)

    def kill(self, *names: str) -> None:
        """Kill services or hosts with SIGKILL."""
        for name in names:
            self._processes.kill(name)

    def freeze(self, name: str) -> None:
        """Suspend a service: it accepts connections and answers nothing, until `thaw`."""
        self._processes.freeze(name)

    def thaw(self, name: str) -> None:
        """Let a suspended service go on."""
        self._processes.thaw(name)

    def runs(self, name: str) -> bool:
        """Tell whether the process of a service or a host runs."""
        return self._processes.runs(name)

    # Hosts

    def add_compute(self, host: str, size: Size | None = None) -> None:
        """Add a host; returns when servers can be booted on it."""
        self.hosts[host] = size or Size()
        self.start_compute(host)

    def start_compute(self, host: str) -> None:
        """Start nova-compute of a host again; returns when Nova calls it up."""
        self.start(host)
        self.wait_for_hosts(host)

    def remove_compute(self, host: str) -> None:
        """Take a host out of the cloud: kill its nova-compute and delete its service."""
        self.kill_compute(host)
        self.operator.compute.delete_service(nova.compute_services(self.operator)[host])
        del self.hosts[host]

    def kill_compute(self, host: str, *, wait: bool = True) -> None:
        """Kill nova-compute of a host; returns when Nova calls it down, at once without `wait`."""
        self.kill(host)
        if wait:
            self.wait_for_state(host, "down")

    def disable(self, host: str, reason: str = "maintenance") -> None:
        """Disable a host as an operator does; Nova needs its nova-compute to set the trait."""
        service = nova.compute_services(self.operator)[host]
        self.operator.compute.disable_service(service, disabled_reason=reason)

    def enable(self, host: str) -> None:
        """Enable a host that was disabled."""
        self.operator.compute.enable_service(nova.compute_services(self.operator)[host])

    def force_down(self, host: str, forced: bool = True) -> None:
        """Tell Nova that a host is down, whatever it reports; lift it with `forced=False`."""
        service = nova.compute_services(self.operator)[host]
        self.operator.compute.update_service_forced_down(service, forced=forced)

    def wait_for_state(self, host: str, state: str) -> None:
        """Wait until Nova calls a host `up` or `down`."""
        nova.wait_for_state(self.operator, host, state)

    def wait_for_hosts(self, *hosts: str) -> None:
        """Wait until Nova calls these hosts up and Placement has their inventories."""
        for host in hosts:
            self.wait_for_state(host, "up")
        until(lambda: {*hosts} <= self._usable(), f"hosts {', '.join(hosts)} in Placement")

    def _usable(self) -> set[str]:
        answer = self.operator.placement.get(
            "/allocation_candidates?resources=VCPU:1", microversion="1.35"
        ).json()
        providers = self.operator.placement.get("/resource_providers").json()
        full = {
            provider["name"]
            for provider in providers["resource_providers"]
            if provider["uuid"] in answer["provider_summaries"]
        }
        mapped = {hypervisor.name for hypervisor in self.operator.compute.hypervisors()}
        return full & mapped

    def aggregate(self, name: str, *hosts: str) -> str:
        """Make an aggregate of these hosts; return its UUID."""
        made = self.operator.compute.create_aggregate(name=name)
        for host in hosts:
            self.operator.compute.add_host_to_aggregate(made, host)
        return str(made.uuid)

    def drop_aggregate(self, name: str) -> None:
        """Remove an aggregate and its hosts from it."""
        found = self.operator.compute.find_aggregate(name, ignore_missing=False)
        for host in found.hosts or ():
            self.operator.compute.remove_host_from_aggregate(found, host)
        self.operator.compute.delete_aggregate(found)

    # Servers

    def boot(
        self,
        name: str,
        host: str | None = None,
        size: tuple[int, int, int] = SMALL,
        connection: Connection | None = None,
    ) -> Server:
        """Boot a server of VCPU, MB and GB, by the operator if no connection is given; waits.

        Raises:
            openstack.exceptions.SDKException: Nova has no room there, or refuses.
        """
        nova.flavor(self.operator, *size)
        by = connection or self.operator
        return nova.wait_until_active(by, nova.boot(by, name, host, size, self.image))

    def move(self, server: Server, host: str) -> None:
        """Migrate a running server to a host, as its operator; waits until it runs there."""
        nova.move(self.operator, server, host)

    def delete(self, *servers: Server | str) -> None:
        """Delete servers, named by their UUIDs or objects; waits until they are gone."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda server: nova.delete(self.operator, server), servers))

    def delete_all(self) -> None:
        """Delete the servers of all projects."""
        self.delete(*self.operator.compute.servers(all_projects=True))

    def usages(self) -> dict[str, dict[str, int]]:
        """Return what servers use by host and resource class, as Placement has it."""
        return nova.usages(self.operator)

    def allocations(self, server: str) -> Mapping[str, Any]:
        """Return what Placement has of a server: UUID of a provider → its resources."""
        return nova.allocations(self.operator, server)

    # Logins

    @cached_property
    def operator(self) -> Connection:
        """A connection of openstacksdk as the cloud's admin, in project `lab`."""
        return self.connect("admin")

    @cached_property
    def image(self) -> str:
        """The id of an image that everybody may boot."""
        made = self.operator.image.create_image(
            name=nova.IMAGE, container_format="bare", disk_format="raw", visibility="public",
            data=b"x" * 1024, validate_checksum=False,
        )  # fmt: skip
        return str(made.id)

    def login_as(self, user: str, project: str = "", region: str = REGION) -> Login:
        """Return a user's login by password, as clouds.yaml holds it; users: `identity.USERS`."""
        return identity.password(self.layout, user, project, region)

    def application_credential(self, user: str, **options: Any) -> Login:
        """Create an application credential of a user; return the login with it."""
        return identity.application_credential(self.login_as(user), **options)

    def delete_application_credential(self, user: str, credential: Login) -> None:
        """Delete an application credential of a user."""
        identity.delete_application_credential(self.login_as(user), credential)

    def connect(self, user: str, project: str = "", region: str = REGION) -> Connection:
        """Connect with openstacksdk as a user."""
        return identity.connect(self.login_as(user, project, region))

    def proxy(self, service: str, delay_seconds: float = 3.0) -> ServiceProxy:
        """Return a proxy in front of a service, which delays, drops or cuts; start it by `with`."""
        return ServiceProxy(self.layout.ports[service], delay_seconds)

    @staticmethod
    def through(login: Login, **proxies: ServiceProxy) -> Login:
        """Lead a login through proxies: `keystone=`, `placement=`, `compute=`."""
        paths = {"compute": "/v2.1"}
        changed = {**login, "auth": {**login["auth"]}}
        for service, proxy in proxies.items():
            if service == "keystone":
                changed["auth"]["auth_url"] = f"{proxy.url}/v3"
            else:
                changed[f"{service}_endpoint_override"] = proxy.url + paths.get(service, "")
        return changed
