"""What Keystone answers, at a login and its renewal, is never taken for a word of the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standins.http_servers import Server
from standins.placement_server import Placement

from rq_broker.sources import SourceFailed
from rq_broker.sources.placement import PlacementSource
from tests.sources.test_openstack import APPLICATION, Keystone

JSON = {"Content-Type": "application/json"}


def answer(status: int, body: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {}, body if isinstance(body, bytes) else json.dumps(body).encode()


def error(status: int, message: str) -> tuple[int, dict[str, str], bytes]:
    return answer(status, {"error": {"code": status, "message": message, "title": "t"}})


HTML = b"<html><head><title>no</title></head><body><h1>503 Sorry</h1>no server here</body></html>"
ANSWERS = {
    "400": (error(400, "Expecting to find domain in project."), "misconfigured", "Expecting"),
    "401": (error(401, "The request you have made requires"), "refused", "requires"),
    "403": (error(403, "You are not authorized"), "refused", "not authorized"),
    "404": (error(404, "Could not find Application Credential"), "refused", "Could not find App"),
    "404 of nobody": (answer(404, b"<h1>Not Found</h1>"), "misconfigured", "Not Found"),
    "405": (answer(405, {}), "misconfigured", "HTTP 405"),
    "408": (answer(408, b""), "faulty", "HTTP 408"),
    "409": (error(409, "Conflict"), "misconfigured", "Conflict"),
    "429": (answer(429, b"slow down"), "faulty", "slow down"),
    "500": (error(500, "An unexpected error"), "faulty", "An unexpected error"),
    "502": (answer(502, HTML), "unreachable", "503 Sorry no server here (HTTP 502)"),
    "503": (answer(503, {"message": "Down for maintenance."}), "unreachable", "Down for maint"),
    "504": (answer(504, b"upstream timed out"), "unreachable", "upstream timed out"),
    "no body": (answer(201, b""), "faulty", "keystone"),
    "no json": (answer(201, HTML), "faulty", "keystone"),
    "a list": (answer(201, [1]), "faulty", "keystone"),
    "no token": (answer(201, {}), "faulty", "keystone"),
    "an empty token": (answer(201, {"token": {}}), "faulty", "keystone"),
    "a torn token": (answer(201, b'{"token": {"cat'), "faulty", "keystone"),
}
"""What is wrong → the answer, the cause, and a part of the sentence."""


@pytest.fixture
def keystone(placement: Placement, proxy: Server) -> Iterator[Keystone]:
    keystone = Keystone(proxy)
    placement.add("cn1", VCPU=4)
    yield keystone
    keystone.server.stop()


@pytest.fixture
def source(keystone: Keystone, clouds: Callable[..., None]) -> PlacementSource:
    auth = APPLICATION | {"auth_url": f"{keystone.url}/v3"}
    clouds(auth_type="v3applicationcredential", auth=auth, region_name="RegionTwo")
    return PlacementSource(cloud="lab", nova=False)


def break_tokens(keystone: Keystone, wrong: tuple[int, dict[str, str], bytes]) -> None:
    """Have Keystone answer each login with this, and all else as before."""
    keystone.server.answer = lambda path, headers, body: (
        wrong if path.endswith("/auth/tokens") else keystone.answer(path, headers, body)
    )


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("moment", ["login", "renewal", "refused token"])
async def test_an_answer_of_keystone_has_its_cause_and_drops_no_host(
    source: PlacementSource, keystone: Keystone, proxy: Server, name: str, moment: str
) -> None:
    """At the first login, or as a token ends or is refused: no snapshot, and the next is whole."""
    wrong, cause, words = ANSWERS[name]
    if moment != "login":
        assert len((await source.snapshot()).hosts) == 1
    if moment == "renewal":
        source.placement._session.invalidate()
    if moment == "refused token":
        proxy.fault = "401"
    break_tokens(keystone, wrong)
    with pytest.raises(SourceFailed) as failed:
        await source.snapshot()
    assert failed.value.cause == cause
    assert words in str(failed.value)
    assert str(failed.value).startswith("keystone")
    keystone.server.answer, proxy.fault = keystone.answer, ""
    assert len((await source.snapshot()).hosts) == 1
    await source.close()


@pytest.mark.parametrize("away", ["keystone", "placement"])
async def test_a_service_that_nothing_listens_for_is_named_once(
    keystone: Keystone, clouds: Callable[..., None], away: str
) -> None:
    """The sentence has the URL and the system's own error, and neither again in other words."""
    auth = APPLICATION | {"auth_url": f"{keystone.url}/v3"}
    if away == "keystone":
        auth["auth_url"] = "http://127.0.0.1:1/v3"
    clouds(auth_type="v3applicationcredential", auth=auth, region_name="RegionOne")
    source = PlacementSource(cloud="lab", nova=False)
    with pytest.raises(SourceFailed) as failed:
        await source.snapshot()
    text = str(failed.value)
    assert failed.value.cause == "unreachable"
    assert text.endswith(": [Errno 111] Connection refused")
    assert (text.count("127.0.0.1"), text.count("port"), text.count("retries")) == (1, 0, 0)
    await source.close()
