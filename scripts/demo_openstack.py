"""Shows the queue while OpenStack's capacity changes: `demo_openstack.py [seconds]` (20).

Starts the real Placement with 20 hosts, an API and two notifiers on an embedded redis-server, and a
client that submits jobs, boots a server when it is called back, reports its UUID, and deletes it a
while later. Other tenants boot and delete servers without the broker. Halfway Placement stops for a
while.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
from benches.kit import LOOPBACK_ONLY

sys.path.insert(0, str(Path(__file__).parent.parent))
from rq_broker.client import Client
from rq_broker.domain.errors import BrokerError
from rq_broker.store.embedded import Server as Store
from rq_broker.store.embedded import free_port
from tests.sources.placement_server import Placement
from tests.sources.servers import Server, canned

ROOT = Path(__file__).parent.parent
HOSTS, VCPU = 20, 8
TYPE = "vm"
AZ = str(uuid4())
"""UUID of the aggregate that Nova calls host1: the first five hosts."""
SOURCES = f"""
[[source]]
type = "{TYPE}"
kind = "placement"
cloud = "demo"
interval = 0.5
"""


class Cloud:
    """Placement with the writes of Nova, one at a time, and the servers of other tenants."""

    def __init__(self, folder: Path) -> None:
        self.placement = Placement(folder)
        self.lock = threading.Lock()
        self.up = threading.Event()
        self.up.set()
        self.uuids: dict[str, str] = {}
        """Host → UUID of its provider."""
        self.others: list[str] = []
        """UUIDs of the other tenants' servers."""
        for number in range(HOSTS):
            name = f"cn{number:02}"
            self.uuids[name] = self.placement.add(name, VCPU=VCPU, MEMORY_MB=16384, DISK_GB=200)
            if number < 5:
                self.placement.aggregates(self.uuids[name], AZ)

    def boot(self, name: str, resources: Mapping[str, int]) -> str | None:
        """Boot a server on a host; returns its UUID, or None where there is no room."""
        server = str(uuid4())
        with self._write_access(), suppress(httpx.HTTPError):
            self.placement.boot(server, **{self.uuids[name]: dict(resources)})
            return server
        return None

    def delete(self, server: str) -> None:
        with self._write_access(), suppress(httpx.HTTPError):
            self.placement.delete(server)

    @contextmanager
    def _write_access(self) -> Iterator[None]:
        """Wait until Placement is up and no other request writes."""
        while True:
            self.up.wait()
            with self.lock:
                if self.up.is_set():
                    yield
                    return

    def switch(self) -> None:
        """Kill Placement, or start it again."""
        with self.lock:
            if self.up.is_set():
                self.up.clear()
                self.placement.stop()
            else:
                self.placement.start()
                self.up.set()

    def close(self) -> None:
        """Kill Placement for good; a thread that still writes waits until the process ends."""
        with self.lock:
            self.up.clear()
            self.placement.stop()

    def used(self) -> int | None:
        """Return the sum of all allocated VCPU; None while Placement does not answer."""
        if not self.up.is_set():
            return None
        with suppress(httpx.HTTPError):
            path = "/resource_providers/{}/usages"
            answers = [
                self.placement.call("GET", path.format(uuid)) for uuid in self.uuids.values()
            ]
            return sum(int(answer["usages"]["VCPU"]) for answer in answers)
        return None

    def disturb(self) -> None:
        """Boot or delete a server of another tenant."""
        if self.others and random.random() < len(self.others) / 56:
            self.delete(self.others.pop(random.randrange(len(self.others))))
        elif server := self.boot(random.choice(list(self.uuids)), {"VCPU": 4, "MEMORY_MB": 4096}):
            self.others.append(server)


class Tenant:
    """The broker's client: submits, and when called back boots a server, reports and deletes it."""

    def __init__(self, cloud: Cloud, api: str) -> None:
        self.cloud = cloud
        self.api = api
        self.count = 0
        self.refused = 0
        self.receiver = Server(self._answer)

    def submit(self, broker: Client) -> None:
        """Submit a job like the original's example, but larger."""
        self.count += 1
        cores = random.choice((2, 2, 4))
        data: dict[str, Any] = {
            "instances": [{"VCPU": cores, "Memory": 1024 * cores, "Disk": 10}],
            "project": "demo",
        }
        if self.count % 5 == 0:
            data["host_aggregate"] = "host1"
        name = f"job-{self.count:03}"
        callback = f"{self.receiver.url}/{name}"
        broker.submit(TYPE, request_id=name, owner_id="demo", data=data, callback=callback)

    def _answer(self, _path: str, _headers: Mapping[str, str], body: bytes) -> Any:
        job = json.loads(body)["data"]
        threading.Thread(target=self._use, args=(job,), daemon=True).start()
        return 200, {}, b"{}"

    def _use(self, job: Mapping[str, Any]) -> None:
        instance = json.loads(job["Data"])["instances"][0]
        resources = {
            "VCPU": instance["VCPU"],
            "MEMORY_MB": instance["Memory"],
            "DISK_GB": instance["Disk"],
        }
        name, host = job["RequestID"], job["Hosts"][0]
        with suppress(BrokerError, httpx.HTTPError), Client(self.api) as broker:
            server = self.cloud.boot(host, resources)
            if server is None:
                self.refused += 1
                broker.transition(TYPE, name, "error", error="Nova found no room")
                return
            broker.transition(TYPE, name, "running", servers=[server])
            time.sleep(random.uniform(1.5, 4.0))
            self.cloud.delete(server)
            broker.transition(TYPE, name, "done")


def children(folder: Path, store: Store, cloud: Cloud, nova: Server, port: int) -> ExitStack:
    """Start API and notifiers; closing the stack stops them with SIGTERM."""
    auth = {"endpoint": cloud.placement.url, "token": "admin"}
    demo = {"auth_type": "admin_token", "auth": auth, "compute_endpoint_override": nova.url}
    (folder / "clouds.yaml").write_text(json.dumps({"clouds": {"demo": demo}}))
    (folder / "sources.toml").write_text(SOURCES)
    common = ["--redis", store.url, *LOOPBACK_ONLY]
    notifier = ["notifier", *common, "--source", str(folder / "sources.toml")]
    commands = [["api", *common, "--port", str(port)], notifier, notifier]
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")}
    stack = ExitStack()
    for number, command in enumerate(commands):
        log = stack.enter_context((folder / f"{number}.log").open("wb"))
        child = subprocess.Popen(
            [sys.executable, "-m", "rq_broker.cli", *command],
            cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        stack.callback(_end, child)
    return stack


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(15)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def ready(api: str) -> None:
    """Wait until the API serves and the source has reported its hosts."""
    for _ in range(600):
        with suppress(httpx.HTTPError, BrokerError), Client(api) as broker:
            if len(broker.hosts(TYPE)) == HOSTS:
                return
        time.sleep(0.05)
    raise SystemExit("the broker has no hosts after 30 s")


def line(seconds: float, cloud: Cloud, tenant: Tenant, broker: Client) -> str:
    """Describe capacity and jobs in one line."""
    counts = broker.types()[TYPE]
    free = sum(host["free"].get("VCPU", 0) for host in broker.hosts(TYPE))
    states = httpx.get(f"{tenant.api}/readyz").json()["data"]["sources"][TYPE]
    cause, used = states[0]["cause"], cloud.used()
    source = (
        f"stale: {cause}, {states[0]['age_seconds']:.0f} s old" if states[0]["stale"] else "fresh"
    )
    placement = "is down         " if used is None else f"{used:3}/{HOSTS * VCPU} VCPU used"
    jobs = " ".join(
        f"{state} {counts[state]:3}" for state in ("queued", "granted", "running", "done")
    )
    return f"{seconds:4.0f} s | Placement {placement} | free {free:3} ({source}) | {jobs}"


def show(cloud: Cloud, tenant: Tenant, seconds: float) -> None:
    """Submit jobs until the end, and print a line each second."""
    start, printed = time.monotonic(), 0
    outage = range(round(seconds * 0.5), round(seconds * 0.7))
    with Client(tenant.api) as broker:
        while (now := time.monotonic() - start) < seconds:
            if cloud.up.is_set() == (int(now) in outage):
                cloud.switch()
                print(f"       --- Placement {'is up again' if cloud.up.is_set() else 'stops'} ---")
            if cloud.up.is_set():
                cloud.disturb()
            for _ in range(2):
                tenant.submit(broker)
            if now >= printed:
                print(line(now, cloud, tenant, broker), flush=True)
                printed = int(now) + 1
            time.sleep(0.15)
        for queued in list(broker.jobs(TYPE, status="queued"))[:1]:
            job = broker.read(TYPE, queued["RequestID"])
            print(f"       {job['RequestID']} waits: {job.get('Reason')}")


def main(seconds: float) -> None:
    random.seed(7)
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory, ExitStack() as stack:
        folder = Path(directory)
        print(f"starting Placement with {HOSTS} hosts of {VCPU} VCPU …")
        cloud = Cloud(folder)
        stack.callback(cloud.close)
        for _ in range(45):
            cloud.disturb()
        store = Store(folder / "redis")
        store.start()
        stack.callback(store.stop)
        named = [{"uuid": AZ, "name": "host1", "hosts": []}]
        up = {"state": "up", "status": "enabled"}
        computes = [up | {"id": uuid} for uuid in cloud.uuids.values()]
        aggregates = {"aggregates": named}
        answers = {"/os-aggregates": aggregates, "/os-hypervisors": {"hypervisors": computes}}
        nova = Server(canned(answers))
        stack.callback(nova.stop)
        port = free_port()
        tenant = Tenant(cloud, f"http://127.0.0.1:{port}")
        stack.callback(tenant.receiver.stop)
        stack.enter_context(children(folder, store, cloud, nova, port))
        ready(tenant.api)
        with Client(tenant.api) as broker:
            broker.set_policy(TYPE, holds="until_seen", retention=3600)
        show(cloud, tenant, seconds)
        audit = [sys.executable, "-m", "rq_broker.cli", "audit", "--redis", store.url]
        result = subprocess.run(audit, cwd=ROOT, capture_output=True, text=True, check=False)
        print(f"audit: {result.stdout.strip()}")
        print(f"{tenant.refused} grants found no room, taken by tenants that do not use the broker")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
