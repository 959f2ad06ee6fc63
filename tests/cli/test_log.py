"""`rq-broker log`: who changed what, on the terminal."""

from __future__ import annotations

import asyncio
import getpass
import time
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from rq_broker.cli import log
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.cli.running import invoke
from tests.making import submit

START = int(time.time() * 1000) - 3_600_000


def _line(who: str, subject: str) -> dict[Any, Any]:
    return {
        "who": who,
        "address": "",
        "verb": "withdraw",
        "subject": subject,
        "before": '{"status":"queued"}',
        "after": "",
        "http_request_id": "r-1",
    }


@pytest.fixture
def url(redis_server: Server) -> str:
    """Two types whose lines alternate, an hour ago; and a token, made now."""

    async def fill() -> None:
        async with connect(redis_server.url) as client:
            await client.flushall()
            await client.sadd("rqb:types", "a", "b")
            for number in range(6):
                key = Keys("ab"[number % 2]).of("audit")
                await client.xadd(key, _line("token:ci", f"job-{number}"), id=f"{START + number}-0")

    asyncio.run(fill())
    words = ("token", "create", "--role", "viewer", "--name", "eye", "--redis", redis_server.url)
    assert invoke(*words).exit_code == 0
    return redis_server.url


@pytest.mark.parametrize("batch", [2, 100])
def test_lines_of_all_logs_are_merged(
    url: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --type every log is printed in the order of time; with it those types only."""
    monkeypatch.setattr(log, "BATCH", batch)
    lines = invoke("log", "--redis", url, "--json").stdout.splitlines()
    *jobs, made = map(orjson.loads, lines)
    assert [(job["type"], job["subject"]) for job in jobs] == [
        ("ab"[number % 2], f"job-{number}") for number in range(6)
    ]
    assert (jobs[0]["before"], jobs[0]["after"]) == ({"status": "queued"}, None)
    user = f"cli:{getpass.getuser()}"
    assert (made["type"], made["who"], made["verb"]) == (None, user, "create_token")
    of_b = invoke("log", "--redis", url, "--json", "--type", "b").stdout.splitlines()
    assert [orjson.loads(line)["subject"] for line in of_b] == ["job-1", "job-3", "job-5"]


def test_lines_for_people(url: str) -> None:
    """A line has when, type, who, from where, what, of what, before and after, and the request."""
    first, *_, last = invoke("log", "--redis", url).stdout.splitlines()
    moment, rest = first.split(" ", 1)
    assert moment.endswith("Z")
    assert rest == 'a token:ci - withdraw job-0 {"status":"queued"} → nothing r-1'
    assert " - create_token eye nothing → " in last


def test_only_lines_since_then(url: str) -> None:
    """`--since` begins so long ago."""
    assert len(invoke("log", "--redis", url, "--since", "2h").stdout.splitlines()) == 7
    assert len(invoke("log", "--redis", url, "--since", "30m").stdout.splitlines()) == 1


async def test_no_name_forges_a_line(redis_server: Server, real_client: Redis) -> None:
    """A name with a line feed or a space is quoted, so that it looks like no other line."""
    ACTOR.set(Actor("x\n2026", "a b", '"'))
    await submit(Broker(real_client), "job 1\x1b[2J", type_="v m")
    output = (await asyncio.to_thread(invoke, "log", "--redis", redis_server.url)).stdout
    (line,) = output.splitlines()
    assert ' "v m" "x\\n2026" "a b" submit "job 1\\u001b[2J" nothing → ' in line
    assert line.endswith(' "\\""')


def test_without_redis_it_ends(url: str) -> None:
    """A log that is not followed ends with a sentence where Redis does not answer."""
    assert url
    result = invoke("log", "--redis", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert "Error: " in result.stderr
