"""The broker in front of a cloud: a store, the API and notifiers, whose sources log in to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
from benches.kit import LOOPBACK_ONLY

from openstack_cloud.identity import Login
from openstack_cloud.layout import free_port
from openstack_cloud.processes import Processes
from openstack_cloud.waiting import until
from rq_broker.client import Client
from rq_broker.domain.errors import BrokerError
from rq_broker.store.embedded import Server as Store

TYPE = "vm"
ROOT = Path(__file__).parents[2]
INTERVAL_SECONDS = 1.0
"""How often a source reads the cloud."""
Tables = Sequence[Mapping[str, str | float]]
"""What stands in [[source]] of sources.toml; `type`, `kind` and `interval` where left out."""


class Broker:
    """API and notifiers on a store of their own; `with Broker(...) as broker:` runs them.

    Args:
        directory: A folder for logs, data and settings; what is in it is removed.
        logins: The clouds of clouds.yaml by name.
        tables: The sources; left out, one for each login, which feeds TYPE.
        notifiers: How many notifiers run.
        notifier_options: What their command line has besides.
    """

    def __init__(
        self,
        directory: Path,
        logins: Mapping[str, Login],
        tables: Tables = (),
        notifiers: int = 1,
        notifier_options: Sequence[str] = (),
    ) -> None:
        self.directory = directory.resolve()
        self.logins = dict(logins)
        self.tables = tables
        self.notifiers = [f"notifier{number}" for number in range(notifiers)]
        self._notifier_options = notifier_options

    def __enter__(self) -> Self:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self._store = Store(self.directory / "redis")
        self._store.start()
        self._processes = Processes(self.directory)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._start("api", "--port", str(port))
        self.client = Client(self.url)
        try:
            until(self._serves, "the broker's API")
            self.start_notifiers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._processes.close()
        self._store.stop()

    @property
    def store_url(self) -> str:
        """The URL of the store."""
        return self._store.url

    def start_notifiers(self, **logins: Login) -> None:
        """Start the notifiers again, with these logins in place of those of before if given."""
        self.logins.update(logins)
        self._clouds.write_text(json.dumps({"clouds": self.logins}))  # JSON is YAML
        self._sources.write_text(_toml(self.tables or [{"cloud": name} for name in self.logins]))
        for name in self.notifiers:
            self._processes.stop(name)
            self._start_notifier(name)

    def restart(self, notifier: str) -> None:
        """Kill one of `notifiers` with SIGKILL, and start it again."""
        self.kill(notifier)
        self._start_notifier(notifier)

    def kill(self, name: str) -> None:
        """Kill `api` or one of `notifiers` with SIGKILL."""
        self._processes.kill(name)

    def runs(self, name: str) -> bool:
        """Tell whether `api` or one of `notifiers` runs."""
        return self._processes.runs(name)

    def log(self, name: str = "notifier0") -> str:
        """Return all that a process has printed."""
        return (self.directory / f"{name}.out").read_text(errors="replace")

    def tracebacks(self) -> list[str]:
        """List the processes whose log holds a traceback."""
        return [name for name in ("api", *self.notifiers) if "Traceback" in self.log(name)]

    def audit(self) -> tuple[int, str]:
        """Run `rq-broker audit`; return its exit status and what it printed."""
        command = [sys.executable, "-m", "rq_broker", "audit", "--redis", self.store_url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    # What it shows

    def hosts(self, type_: str = TYPE) -> dict[str, Any]:
        """Return the hosts of a type by name."""
        with suppress(BrokerError):
            return {host["name"]: host for host in self.client.hosts(type_)}
        return {}

    def sources(self, type_: str = TYPE) -> list[Any]:
        """Return what /readyz says of the sources of a type."""
        found: list[Any] = self.ready()["sources"].get(type_, [])
        return found

    def ready(self) -> Any:
        """Return what /readyz says."""
        return httpx.get(f"{self.url}/readyz", timeout=30).json()["data"]

    def metrics(self) -> str:
        """Return what /metrics says."""
        return httpx.get(f"{self.url}/metrics", timeout=30).text

    def explain(self, request_id: str, type_: str = TYPE) -> Any:
        """Return why a job waits, or what it holds."""
        answer = httpx.get(f"{self.url}/v1/{type_}/{request_id}/explain", timeout=30)
        return answer.json()["data"]

    def wait_for_hosts(self, *names: str, type_: str = TYPE) -> None:
        """Wait until a type has exactly these hosts."""
        self.wait_for(
            lambda: self.hosts(type_).keys() == {*names}, f"the hosts {', '.join(names)} of {type_}"
        )

    def wait_for(
        self, condition: Callable[[], bool], description: str, seconds: float = 90.0
    ) -> None:
        """Wait until a condition holds; the error tells what /readyz says."""
        try:
            until(condition, description, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; /readyz: {self.ready()}") from None

    def wait_for_status(self, request_id: str, *statuses: str, type_: str = TYPE) -> Any:
        """Wait until a job has one of these statuses; return the job."""
        job: dict[str, Any] = {}

        def has_it() -> bool:
            job.update(self.client.read(type_, request_id))
            return job["Status"] in statuses

        self.wait_for(has_it, f"{request_id} to be {' or '.join(statuses)}, not {job}")
        return job

    def _serves(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False

    @property
    def _clouds(self) -> Path:
        return self.directory / "clouds.yaml"

    @property
    def _sources(self) -> Path:
        return self.directory / "sources.toml"

    def _start_notifier(self, name: str) -> None:
        source = ("--source", str(self._sources))
        clouds = str(self._clouds)
        self._start(name, *source, *self._notifier_options, OS_CLIENT_CONFIG_FILE=clouds)

    def _start(self, name: str, *options: str, **variables: str) -> None:
        command = "api" if name == "api" else "notifier"
        common = ["--redis", self._store.url, *LOOPBACK_ONLY]
        program = [sys.executable, "-m", "rq_broker", command]
        self._processes.start(
            name, [*program, *common, *options], PYTHONPATH=str(ROOT), **variables
        )


def _toml(tables: Tables) -> str:
    defaults = {"type": TYPE, "kind": "placement", "interval": INTERVAL_SECONDS}
    return "".join(
        "[[source]]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in {**defaults, **table}.items())
        for table in tables
    )
