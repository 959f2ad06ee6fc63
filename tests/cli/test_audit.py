"""`rq-broker audit`: what it prints, and its exit code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.cli.running import invoke
from tests.making import TYPE, bring


@pytest.fixture
def url(redis_server: Server) -> str:
    """A store with a job in every status."""

    async def fill() -> None:
        async with connect(redis_server.url) as client:
            await client.flushall()
            for status in Status:
                await bring(Broker(client), status, f"{status}")

    asyncio.run(fill())
    return redis_server.url


def test_a_consistent_store_is_clean(url: str) -> None:
    """Without findings it prints one word and exits with 0."""
    result = invoke("audit", "--redis", url)
    assert (result.output, result.exit_code) == ("clean\n", 0)


def test_a_fault_is_printed_and_sets_the_exit_code(url: str) -> None:
    """A contradiction is printed with its type, for people, and exits with 1, for cron."""
    with Redis.from_url(url) as client:
        client.zadd(f"rqb:{{{TYPE}}}:status:done", {"0000000000000099:ghost": 1})
    result = invoke("audit", "--redis", url)
    assert result.exit_code == 1
    assert f"{TYPE}: fault: " in result.output
    assert "ghost" in result.output
    assert invoke("audit", "--redis", url, "--type", "kube").exit_code == 0


def test_a_note_is_printed_as_a_note(url: str) -> None:
    """A finding that is allowed is printed, and is no fault."""
    with Redis.from_url(url) as client:
        client.hset(f"rqb:{{{TYPE}}}:host:h1", "capacity:VCPU", 0)
    result = invoke("audit", "--redis", url)
    assert f"{TYPE}: note: host h1" in result.output
    assert "fault" not in result.output


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_an_audit_without_redis_says_so(tmp_path: Path, scheme: str) -> None:
    """A store that does not answer is reported in a sentence, not a traceback."""
    server = Server(tmp_path)
    server.start()
    server.stop()
    result = invoke("audit", "--redis", f"{scheme}://127.0.0.1:{server.port}")
    assert result.exit_code == 1
    assert "Error: Redis does not answer" in result.output
