"""A Redis that answers but cannot serve: each cause has its code, and two lines in the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from rq_broker.store.embedded import Server
from tests.processes import NO_RETRY, TIMEOUT_S, Child, Children

BUSY_MS = "50"
"""After so long a script counts as busy."""
LOAD_US = 5000
"""How long a restarted Redis takes to load each of KEYS keys."""
KEYS = 1500
FILLER = "".join(map(chr, range(300, 800)))
"""While it loads, Redis answers each time that it has read 1 KiB, here after two keys."""
NAMES = (f"job-{number}" for number in count())

Cause = tuple[Callable[["Store"], object], Callable[["Store"], object]]


class Store:
    """One server, and how it is broken and mended."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = redis.Redis(port=server.port, retry=NO_RETRY, decode_responses=True)
        self.threads: list[threading.Thread] = []

    def configure(self, **values: str) -> None:
        for name, value in values.items():
            self.client.config_set(name.replace("_", "-"), value)

    def save(self, status: str) -> None:
        """Save in the background until that ends so."""
        while self.client.info("persistence")["rdb_last_bgsave_status"] != status:
            with suppress(redis.ResponseError):  # one is under way
                self.client.bgsave()
            time.sleep(0.02)

    def fail_to_save(self) -> None:
        (self.server.directory / "dump.rdb").mkdir()
        self.configure(save="3600 1000000")
        self.save("err")

    def save_again(self) -> None:
        (self.server.directory / "dump.rdb").rmdir()
        self.save("ok")

    def in_background(self, work: Callable[[], Any]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)

    def run_for_ever(self) -> None:
        def run() -> None:
            with redis.Redis(port=self.server.port) as client, suppress(redis.ResponseError):
                client.eval("while true do end", 0)

        self.in_background(run)

    def kill_script(self) -> None:
        self.client.script_kill()
        self.threads.pop().join()

    def restart_slowly(self) -> None:
        if not self.client.config_get("loading-process-events-interval-bytes"):
            pytest.skip("this Redis cannot be made to load slowly")
        self.client.mset({f"filler:{number}": FILLER for number in range(KEYS)})
        self.client.bgrewriteaof()
        while self.client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
        self.server.stop()
        self.server.options = [
            *self.server.options, "--key-load-delay", str(LOAD_US),
            "--loading-process-events-interval-bytes", "1024",
        ]  # fmt: skip
        self.in_background(self.server.start)

    def await_loaded(self) -> None:
        self.threads.pop().join()


CAUSES: dict[str, Cause] = {
    "redis_out_of_memory": (
        lambda store: store.configure(maxmemory="1"),
        lambda store: store.configure(maxmemory="0"),
    ),
    "redis_cannot_save": (Store.fail_to_save, Store.save_again),
    "redis_read_only": (
        lambda store: store.client.replicaof("127.0.0.1", "1"),
        lambda store: store.client.replicaof("NO", "ONE"),
    ),
    "redis_lacks_replicas": (
        lambda store: store.configure(min_replicas_to_write="1"),
        lambda store: store.configure(min_replicas_to_write="0"),
    ),
    "redis_refuses": (
        lambda store: store.client.execute_command("ACL", "SETUSER", "default", "-zadd"),
        lambda store: store.client.execute_command("ACL", "SETUSER", "default", "+zadd"),
    ),
    "redis_busy": (Store.run_for_ever, Store.kill_script),
    "redis_loading": (Store.restart_slowly, Store.await_loaded),
}
"""Code of the answer → what breaks Redis so, and what mends it."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    server = Server(tmp_path / "redis", ["--lua-time-limit", BUSY_MS])
    server.start()
    store = Store(server)
    yield store
    store.client.close()
    server.kill()


def _submit(api: Child) -> httpx.Response:
    name = next(NAMES)
    data = {"instances": [{"VCPU": 1}]}
    body = {
        "request_id": name,
        "owner_id": "o",
        "data": data,
        "callback": f"http://127.0.0.1/{name}",
    }
    return httpx.post(f"{api.url}/v1/vm/", json=body, timeout=TIMEOUT_S)


def _until(condition: Callable[[], bool], api: Child) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, api.output()
        time.sleep(0.02)


@pytest.mark.parametrize("code", CAUSES)
def test_a_cause_is_named_and_logged_once(store: Store, spawn: Children, code: str) -> None:
    """Clients get a code and Retry-After, never Redis's own words; the log has those, once."""
    break_, mend = CAUSES[code]
    api = spawn.api(store.server.url)
    api.ready()
    assert _submit(api).status_code == 201
    break_(store)
    _until(lambda: _submit(api).json().get("code") == code, api)
    for _ in range(5):
        answer = _submit(api)
        assert answer.status_code == 503
        assert answer.json()["code"] == code
        assert int(answer.headers["retry-after"]) >= 1
        for foreign in ("script:", "user_script", "replica-serve", "SCRIPT KILL", "default"):
            assert foreign not in answer.text
    mend(store)
    _until(lambda: _submit(api).status_code == 201, api)
    begins, ends = f"calls fail with {code} (", f"calls failed with {code}\n"
    _until(lambda: ends in api.output(), api)
    assert (api.output().count(begins), api.output().count(ends)) == (1, 1)
    assert "Traceback" not in api.output()
