"""A client of the broker as users would write it: openstacksdk, and a server for callbacks.

It submits a job and goes away. When called back it boots the job's servers on the granted hosts,
names them to the broker, uses them for a while, deletes them, and says that the job is done.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import NotFoundException, SDKException

from rq_broker.client import Client
from rq_broker.domain.errors import BrokerError


class Callbacks(ThreadingHTTPServer):
    """Takes the broker's callbacks and hands each job to a thread of its own."""

    daemon_threads = True

    def __init__(self, use: Callable[[Any], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Callback)
        self.use = use
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Callback(BaseHTTPRequestHandler):
    server: Callbacks

    def do_POST(self) -> None:
        """Take the grant with 200 at once: booting takes longer than a callback may."""
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        threading.Thread(target=self.server.use, args=(job,), daemon=True).start()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class EverydayClient:
    """Submits jobs, and does with each grant what it is for.

    Args:
        url: Where the broker's API serves.
        connection: The cloud, as a user who may boot on a named host.
        image: What its servers boot from.
        hold: Returns how many seconds to use the servers of a job.
    """

    def __init__(
        self, url: str, connection: Connection, image: str, hold: Callable[[], float]
    ) -> None:
        self.url, self.connection, self.image, self.hold = url, connection, image, hold
        self.callbacks = Callbacks(self.use)
        self.refusals: list[str] = []
        """Why servers did not boot."""
        self.unfinished = 0
        """Jobs that are being used now."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Take no more callbacks."""
        self.callbacks.shutdown()
        self.callbacks.server_close()

    def submit(self, broker: Client, type_: str, name: str, **data: Any) -> Any:
        """Submit a job that is called back here; returns it as the broker has it."""
        callback = f"{self.callbacks.url}/{type_}/{name}"
        return broker.submit(type_, request_id=name, owner_id="lab", data=data, callback=callback)

    def use(self, job: Any) -> None:
        """Boot the servers of a granted job, use them, delete them, and end the job."""
        type_, name = job["Type"], job["RequestID"]
        instances = json.loads(job["Data"])["instances"]
        servers: list[str] = []
        with self._lock:
            self.unfinished += 1
        try:
            with Client(self.url) as broker:
                try:
                    for number, host in enumerate(job["Hosts"]):
                        servers.append(self._create(f"{name}-{number}", host, instances[number]))
                    broker.transition(type_, name, "running", servers=servers)
                    self._wait_until_active(servers)
                    time.sleep(self.hold())
                finally:
                    self._delete(servers)
                broker.transition(type_, name, "done")
        except (SDKException, ClientException, BrokerError, httpx.HTTPError) as error:
            self._give_up(type_, name, error)
        finally:
            with self._lock:
                self.unfinished -= 1

    def _create(self, name: str, host: str, resources: Mapping[str, int]) -> str:
        flavor = "-".join(str(resources[key]) for key in ("VCPU", "Memory", "Disk"))
        server = self.connection.compute.create_server(
            name=name,
            host=host,
            flavor_id=self.connection.compute.find_flavor(flavor, ignore_missing=False).id,
            image_id=self.image,
            networks="none",
        )
        return str(server.id)

    def _wait_until_active(self, servers: list[str]) -> None:
        for server in servers:
            found = self.connection.compute.get_server(server)
            self.connection.compute.wait_for_server(found, interval=0.3, wait=120)

    def _delete(self, servers: list[str]) -> None:
        for server in servers:
            self.connection.compute.delete_server(server, ignore_missing=True)
        for server in servers:
            with suppress(NotFoundException):
                found = self.connection.compute.get_server(server)
                self.connection.compute.wait_for_delete(found, interval=0.3, wait=120)

    def _give_up(self, type_: str, name: str, error: Exception) -> None:
        self.refusals.append(f"{name}: {error}")
        with Client(self.url) as broker:
            try:
                broker.transition(type_, name, "error", error=str(error)[:200])
            except (BrokerError, httpx.HTTPError) as second:
                self.refusals.append(f"{name}: {second}")
