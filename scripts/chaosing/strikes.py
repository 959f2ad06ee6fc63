"""What operators and other users do behind the broker's back: to servers, hosts and aggregates."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from openstack.exceptions import BadRequestException
from openstack_cloud import Cloud

from chaosing.book import Book
from chaosing.clients import Clients
from chaosing.lab import FAILURES, WAIT_SECONDS, Lab, NoRoom, TookTooLong, until
from chaosing.promises import Promises

REFUSED = (*FAILURES, NoRoom, TookTooLong, TimeoutError)
"""What an act may raise where the cloud refuses it: the server is gone, or there is no room."""
TENANTS_MOST = 4
"""Servers that other users have at once."""
SPARE_SECONDS, PAUSE_SECONDS = 45.0, 2.0
"""How long an act on servers is tried again where the cloud refuses it, and the pause before that:
a full cloud has no room to move a server until a job ends. Longer, and no job is left for the other
acts."""


class Strikes:
    """Acts on the servers of jobs, one at a time, and the servers of other users."""

    def __init__(
        self, cloud: Cloud, lab: Lab, clients: Clients, promises: Promises, book: Book
    ) -> None:
        self.cloud, self.lab, self.book = cloud, lab, book
        self.clients, self.promises = clients, promises
        self.tenants: list[str] = []
        self._struck: set[str] = set()

    def pick(self) -> str | None:
        """Choose a job's server that is up and was not struck before; None after a while."""
        end = time.monotonic() + WAIT_SECONDS / 2
        while time.monotonic() < end:
            free = [server for server in list(self.clients.alive) if server not in self._struck]
            if free:
                server = random.choice(free)
                self._struck.add(server)
                return server
            time.sleep(0.5)
        return None

    def on_servers(self, name: str, strike: Callable[[str], object], times: int = 1) -> None:
        """Carry an act out on so many servers of jobs; where the cloud refuses, on others."""
        wanted, end = self.book.done[name] + times, time.monotonic() + SPARE_SECONDS
        while self.book.done[name] < wanted and time.monotonic() < end:
            refused = self.book.refused[name]
            self._on_a_server(name, strike)
            if self.book.refused[name] > refused:
                time.sleep(PAUSE_SECONDS)

    def _on_a_server(self, name: str, strike: Callable[[str], object]) -> None:
        with self.book.act(name, *REFUSED):
            server = self.pick()
            if server is None:
                raise TookTooLong("no job has a server that was not struck yet")
            try:
                strike(server)
            except NoRoom:
                self._struck.discard(server)  # nothing has happened to it
                raise

    # Servers

    def delete(self, server: str) -> None:
        """Delete a job's server; its client does not know."""
        self.lab.delete(server)

    def migrate_live(self, server: str) -> None:
        """Move a server while it runs, to where Nova likes."""
        try:
            self.lab.compute.live_migrate_server(server, host=None, block_migration="auto")
        except BadRequestException as error:
            raise NoRoom(str(error)) from None
        self.lab.await_status(server, "ACTIVE", "ERROR")

    def migrate_cold(self, server: str) -> None:
        """Move a server by stopping it, and confirm."""
        self.lab.resize(server, None)

    def resize(self, server: str) -> None:
        """Resize a server to the other size, and confirm; the job's grant stays as it is."""
        self.lab.resize(server, 1 if self.lab.compute.get_server(server).flavor.vcpus > 1 else 2)

    def shelve(self, server: str) -> None:
        """Shelve a server, so that it uses nothing, and bring it back a while later."""
        self.lab.compute.shelve_server(server)
        if self.lab.await_status(server, "SHELVED_OFFLOADED", "ERROR"):
            time.sleep(3)
            self.lab.compute.unshelve_server(server)
            self.lab.await_status(server, "ACTIVE", "ERROR")

    # Other users

    def tenant(self) -> None:
        """Boot a server that no job asked for, where Nova likes, or delete one."""
        if len(self.tenants) >= TENANTS_MOST:
            with self.book.act("other users' servers deleted", *REFUSED):
                self.lab.delete(self.tenants.pop(0))
            return
        with self.book.act("other users' servers booted", *REFUSED):
            self.tenants.append(self.lab.boot(f"tenant-{len(self.tenants)}", 1, None))

    def tenants_until(self, over: threading.Event) -> threading.Thread:
        """Let other users come and go until the event is set."""

        def run() -> None:
            while not over.wait(random.uniform(4, 8)):
                self.tenant()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def clean_up(self) -> None:
        """Delete what other users have, and what silent clients left behind."""
        jobs = dict(self.clients.alive)
        left = [server for server, name in jobs.items() if name.startswith("silent")]
        for server in [*self.tenants, *left]:
            with self.book.act("servers of others and of silent clients cleaned up", *REFUSED):
                self.lab.delete(server)
        self.tenants.clear()

    # Aggregates

    def rename(self, old: str, new: str) -> None:
        """Rename an aggregate."""
        with self.book.act("aggregates renamed", *REFUSED):
            found = self.lab.compute.find_aggregate(old, ignore_missing=False)
            self.lab.compute.update_aggregate(found, name=new)

    # Hosts

    def add_host(self, host: str, learn: Callable[[], None]) -> None:
        """Add a host to the cloud; `learn` reads its capacity."""
        with self.book.act("hosts added", *REFUSED):
            self.cloud.add_compute(host)
            learn()

    def disable(self, host: str, seconds: float) -> None:
        """Disable a host for a while."""
        with self.book.act("hosts disabled and enabled", *REFUSED), self.promises.unwell(host):
            self.cloud.disable(host)
            self.promises.out[host] = time.monotonic()
            time.sleep(seconds)
            self.cloud.enable(host)
            self.promises.out.pop(host)

    def busiest(self) -> str:
        """Return the host with most servers."""
        servers = self.lab.compute.servers(all_projects=True)
        hosts = Counter(server.compute_host for server in servers if server.compute_host)
        return str(hosts.most_common(1)[0][0])

    def kill_and_evacuate(self, host: str) -> None:
        """Kill a host, evacuate its servers once Nova calls it down, and bring it back."""
        with self.promises.unwell(host):
            self._kill_and_evacuate(host)

    def _kill_and_evacuate(self, host: str) -> None:
        with self.book.act("hosts killed", *REFUSED):
            self.cloud.kill_compute(host)
            self.promises.out[host] = time.monotonic()
        self.book.say(f"Nova calls {host} down")
        with self.book.act("hosts forced down", *REFUSED):
            self.cloud.force_down(host)
            time.sleep(5)
        for server in list(self.lab.compute.servers(all_projects=True, compute_host=host)):
            with self.book.act("servers evacuated", *REFUSED):
                self.lab.compute.evacuate_server(server.id)
                self._await_elsewhere(server.id, host)
        with self.book.act("hosts brought back", *REFUSED):
            self.cloud.start(host)
            self._lift_forced_down(host)
            self.cloud.wait_for_state(host, "up")
            self.promises.out.pop(host, None)

    def _lift_forced_down(self, host: str) -> None:
        """Nova refuses it until the host has ended what was evacuated from it."""

        def lifted() -> bool:
            self.cloud.force_down(host, False)
            return True

        until(lifted, f"{host} is still forced down")

    def _await_elsewhere(self, server: str, host: str) -> None:
        self.lab.await_status(server, "ACTIVE", "ERROR", "SHUTOFF")
        found = self.lab.compute.find_server(server, all_projects=True)
        if found is not None and found.compute_host == host:
            raise TookTooLong(f"{server} is still on {host}")
