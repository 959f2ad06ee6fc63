"""An API and a notifier with different `--callback-allow`: whom the difference is told, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from benches.kit import LOOPBACK_ONLY
from standins.receivers import receiver, responding

from rq_broker.store.embedded import Server
from tests.api_client import ApiClient
from tests.processes import Children, until

CLOSED = LOOPBACK_ONLY[2:]
"""Options that open no network at all, so that no callback leaves this machine."""
CLOSED_SENTENCE = (
    "calls to this host are not allowed: its network is loopback, and not in --callback-allow"
)


@pytest.fixture
async def pair(
    store: Server, spawn: Children, request: pytest.FixtureRequest
) -> AsyncIterator[ApiClient]:
    """Start an API and a notifier with the options that the test names, and a host."""
    of_api, of_notifier = request.param
    api = spawn.serve("api", "--redis", store.url, *of_api)
    spawn.start("notifier", "--redis", store.url, *of_notifier)
    await asyncio.to_thread(api.ready)
    http = ApiClient([api])
    await http.publish({"h1": 4})
    yield http
    await http.aclose()


async def trouble_of(http: ApiClient) -> str:
    """Wait until /readyz tells that the options differ; return its sentence."""
    found: list[str] = []

    async def is_told() -> bool:
        ready = (await http.ask("GET", "/readyz")).json()["data"]
        found[:] = [text for text in ready["trouble"] if "different networks to callbacks" in text]
        return bool(found)

    await until(is_told, "the difference in /readyz")
    return found[0]


@pytest.mark.parametrize("pair", [(LOOPBACK_ONLY, CLOSED)], indirect=True)
async def test_what_the_api_alone_allows_ends_in_error_with_the_option(
    pair: ApiClient, spawn: Children
) -> None:
    """The job is in error after one attempt, its capacity is free, and job, log and /readyz name
    the option that the notifier lacks."""
    async with receiver(responding(200)) as sink:
        await pair.submit(sink, "d", 1)
        await pair.until("error", "d")
        assert sink.connections == 0
    job = await pair.job("d")
    assert job["Error"].startswith("the notifier does not call it: callback '127.0.0.1:")
    assert job["Error"].endswith(CLOSED_SENTENCE)
    (attempt,) = (await pair.ask("GET", "/v1/vm/d/attempts")).json()["data"]
    assert attempt["cause"] == "forbidden"
    host = (await pair.ask("GET", "/types/vm/hosts/h1")).json()["data"]
    assert host["held"] == {}
    assert "--callback-allow 127.0.0.0/8" in await trouble_of(pair)
    assert CLOSED_SENTENCE in spawn.started[-1].output()


@pytest.mark.parametrize("pair", [(CLOSED, LOOPBACK_ONLY)], indirect=True)
async def test_what_the_notifier_alone_allows_is_refused_at_the_submit(pair: ApiClient) -> None:
    """The submit is a 400 that names the option, and /readyz names the one of the notifier."""
    async with receiver(responding(200)) as sink:
        body: dict[str, Any] = {
            "request_id": "d",
            "owner_id": "y",
            "data": {"instances": [{"VCPU": 1}]},
            "callback": sink.url(),
        }
        answer = await pair.ask("POST", "/v1/vm", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "callback_forbidden")
        assert answer.json()["error"].endswith(CLOSED_SENTENCE)
        assert sink.connections == 0
    assert "--callback-allow 127.0.0.0/8" in await trouble_of(pair)
