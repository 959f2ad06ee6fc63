"""The Python client's token: sent with every call, also with those that carry other headers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rq_broker.client import AsyncClient, Client
from rq_broker.domain import errors

JOB: dict[str, Any] = {
    "request_id": "r",
    "owner_id": "o",
    "callback": "cb",
    "data": {"instances": []},
}


def answer(request: httpx.Request) -> httpx.Response:
    """Let in who has the token, and keep what the request had."""
    if request.headers.get("authorization") == "Bearer rqb_x":
        keyed = "idempotency-key" in request.headers
        return httpx.Response(200, json={"ok": True, "data": {"keyed": keyed}})
    refusal = {"ok": False, "error": "send a token", "code": "unauthenticated"}
    return httpx.Response(401, json=refusal)


async def test_a_token_goes_with_every_call() -> None:
    """Both clients send it beside an Idempotency-Key and alone; without it they are refused."""
    transport = httpx.MockTransport(answer)
    sync = httpx.Client(transport=transport, base_url="http://api.test")
    with Client("", token="rqb_x", http=sync) as client:
        assert client.submit("vm", **JOB) == {"keyed": True}
        assert client.read("vm", "r") == {"keyed": False}
    http = httpx.AsyncClient(transport=transport, base_url="http://api.test")
    async with AsyncClient("", token="rqb_x", http=http) as own:
        assert await own.submit("vm", **JOB) == {"keyed": True}
        assert await own.read("vm", "r") == {"keyed": False}
    http = httpx.AsyncClient(transport=transport, base_url="http://api.test")
    async with AsyncClient("", http=http) as anonymous:
        with pytest.raises(errors.Unauthenticated, match="send a token"):
            await anonymous.read("vm", "r")
