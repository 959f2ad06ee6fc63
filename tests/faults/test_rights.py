"""Processes with a Redis user: the printed line is enough, and without a right none starts."""

from __future__ import annotations

import asyncio
import shlex

import pytest
import redis
from standins.receivers import receiver, responding

from rq_broker.store.embedded import Server
from tests.api_client import ApiClient
from tests.cli.running import invoke
from tests.processes import Children


def _user(store: Server, role: str, *changes: str) -> str:
    """Make the user of a role by the printed line; returns the URL with its login."""
    line = invoke("acl", "--role", role, "--user", role).output.replace("PASSWORD", "pw")
    with redis.Redis(port=store.port) as client:
        client.execute_command(*shlex.split(line), *changes)
    return f"redis://{role}:pw@127.0.0.1:{store.port}/0"


@pytest.mark.parametrize("role", ["api", "notifier"])
@pytest.mark.parametrize(
    "right", ["-zadd", "-hincrby", "-@stream", "-@sortedset", "-@write", "-evalsha"]
)
def test_without_a_right_no_process_starts(
    store: Server, spawn: Children, role: str, right: str
) -> None:
    """One command or one class missing: the process ends with a sentence, and writes nothing."""
    url = _user(store, role, right)
    child = spawn.api(url) if role == "api" else spawn.notifier(url)
    assert child.wait() == 1
    *_, last = child.output().strip().splitlines()
    assert "the user of --redis may not use the commands" in last
    assert f"rq-broker acl --role {role} prints what it needs" in last
    assert "Traceback" not in child.output()
    with redis.Redis(port=store.port) as client:
        assert client.keys() == []


async def test_with_the_printed_rights_a_job_is_granted_and_called(
    store: Server, spawn: Children
) -> None:
    """API, notifier and audit, each as its own user, take a job to its callback; all is clean."""
    api = spawn.api(_user(store, "api"))
    spawn.notifier(_user(store, "notifier"))
    await asyncio.to_thread(api.ready)
    http = ApiClient([api])
    async with receiver(responding(200)) as sink:
        await http.publish({"VCPU": 4})
        await http.submit(sink, "d", 1)
        await http.until("running", "d")
    await http.aclose()
    audit = spawn.start("audit", "--redis", _user(store, "reader"))
    assert await asyncio.to_thread(audit.wait) == 0
    assert "NOPERM" not in "".join(child.output() for child in spawn.started)
