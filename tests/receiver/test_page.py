"""The receivers on the page about callbacks, each as it stands there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import fakeredis
import httpx
import pytest
from starlette.applications import Starlette

from rq_broker.receiver import Repeats
from rq_broker.receiver.repeats import UNDER_WAY
from tests.pages import block
from tests.receiver import frameworks
from tests.receiver.signed import KEY, body, headers


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", KEY.text)


def _run(marker: str) -> dict[str, Any]:
    """Run the block of the page that holds this text; return its names."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block("callbacks", marker), "page", "exec"), names)
    return names


async def _ask(app: Starlette, *request_ids: str) -> list[int]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        statuses = []
        for name in request_ids:
            sent = headers(body(name), name)
            answer = await client.post("/granted", headers=sent, content=body(name))
            statuses.append(answer.status_code)
    return statuses


def test_the_starlette_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """It takes a grant once, and gives up the one that was cancelled."""
    app = _run("receiver.starlette")["app"]
    assert asyncio.run(_ask(app, "r1", "r1", "r2")) == [204, 204, 410]
    assert capsys.readouterr().out == "granted r1 on ('host1', 'host2') with fence 7\n"


def test_the_flask_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the event that it took."""
    client = _run("receiver.flask")["app"].test_client()
    answer = client.post("/granted", headers=headers(body()), data=body())
    assert answer.status_code == 204
    assert "Granted(id='vm_3_7'" in capsys.readouterr().out


def test_the_django_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the event that it took."""
    post = frameworks.django_urls(_run("receiver.django")["urlpatterns"])
    assert post(headers(body()), body()).status_code == 204
    assert "Granted(id='vm_3_7'" in capsys.readouterr().out


@pytest.fixture
def in_redis() -> Iterator[Repeats]:
    with fakeredis.FakeRedis() as client:
        yield _run("class InRedis")["InRedis"](client)


def test_the_shared_store_of_the_page(in_redis: Repeats) -> None:
    """It claims, remembers and forgets as the protocol says."""
    assert in_redis.begin("a") is None
    assert in_redis.begin("a") == UNDER_WAY
    in_redis.end("a", None)
    assert in_redis.begin("a") is None
    in_redis.end("a", 410)
    assert in_redis.begin("a") == 410
