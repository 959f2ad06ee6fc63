"""Tokens over HTTP: an admin hands them out, and each call is made with one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, contract, refused, submission

CLIENT = {"role": "client", "owners": ["y"], "types": ["vm"], "name": "ci", "expires": 60}


@pytest.fixture
async def api(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """An API that asks for tokens and remembers none, called with that of an admin."""
    monkeypatch.setattr(tokens, "CACHED_SECONDS", -1.0)
    app = create_app(broker, callback_base=BASE, authenticators=[TokenAuthenticator(broker.token)])
    admin = await tokens.create(broker, NewToken(Role.ADMIN, "root"))
    options: dict[str, Any] = {
        "transport": httpx.ASGITransport(app),
        "base_url": "http://api.test",
        "headers": {"Authorization": f"Bearer {admin.secret}"},
    }
    async with httpx.AsyncClient(**options) as plain:
        document = (await plain.get("/openapi.json")).json()
    hooks = {"response": [contract(document)]}
    async with httpx.AsyncClient(**options, event_hooks=hooks) as client:
        yield client


async def ask(api: httpx.AsyncClient, token: str) -> httpx.Response:
    """List the jobs of a type with a token."""
    return await api.get("/v1/vm", headers={"Authorization": f"Bearer {token}"})


async def test_a_life_of_a_token(api: httpx.AsyncClient) -> None:
    """A token is made, used, rotated and revoked; each answer shows at most the new secret."""
    made = await api.post("/tokens/", json=CLIENT)
    assert (made.status_code, made.headers["location"]) == (201, "/tokens/ci")
    assert made.headers["cache-control"] == "no-store"
    first = made.json()["data"].pop("token")
    assert (await ask(api, first)).is_success
    rotated = await api.post("/tokens/ci", json={"overlap": 60})
    assert rotated.headers["cache-control"] == "no-store"
    second = rotated.json()["data"]["token"]
    assert (await ask(api, first)).is_success
    assert (await ask(api, second)).is_success
    assert (await api.delete("/tokens/ci")).json() == {"data": {}, "ok": True}
    for secret in (first, second):
        refused(await ask(api, secret), 401, "token_revoked")
        refused(await ask(api, secret[:-1]), 401, "token_malformed")
    listed = await api.get("/tokens")
    assert [row["name"] for row in listed.json()["data"]] == ["ci", "ci", "root"]
    assert first not in listed.text
    assert second not in listed.text
    row = listed.json()["data"][0]
    assert row["id"] == made.json()["data"]["id"]
    assert (row["role"], row["owners"], row["types"]) == ("client", ["y"], ["vm"])
    assert row["created"] < row["ended"] < row["expires"]


async def test_only_a_token_with_all_rights_makes_others(api: httpx.AsyncClient) -> None:
    """Whoever is no admin is refused at /tokens."""
    for role in set(Role) - {Role.ADMIN}:
        body = {"role": role, "name": role} | ({"owners": ["y"]} if role == "client" else {})
        token = (await api.post("/tokens", json=body)).json()["data"]["token"]
        headers = {"Authorization": f"Bearer {token}"}
        refused(await api.get("/tokens", headers=headers), 403, "forbidden")
        refused(await api.post("/tokens", json=CLIENT, headers=headers), 403, "forbidden")
        refused(await api.post(f"/tokens/{role}", json={}, headers=headers), 403, "forbidden")
        refused(await api.delete("/tokens/root", headers=headers), 403, "forbidden")


async def test_what_cannot_be_asked_of_tokens(api: httpx.AsyncClient) -> None:
    """A name that is taken, one that stands for nothing, and a body that says nothing useful."""
    assert (await api.post("/tokens", json=CLIENT)).status_code == 201
    refused(await api.post("/tokens", json=CLIENT), 409, "conflict", "of this name")
    refused(await api.post("/tokens/nobody", json={}), 404, "token_not_found")
    refused(await api.delete("/tokens/nobody"), 404, "token_not_found")
    refused(await api.post("/tokens/ci", json={"overlap": -1}), 400, "invalid_request", "overlap")
    refused(await api.post("/tokens", json={"role": "client"}), 400, "invalid_request", "owners")
    everybody = await api.post("/tokens", json={"role": "client", "owners": ["y", "*"]})
    refused(everybody, 400, "invalid_request", "owners[1] must not be '*', which stands for every")
    refused(await api.delete("/tokens/a%2Fb"), 400, "invalid_request", "the token's name")


async def test_two_credentials_are_none(api: httpx.AsyncClient) -> None:
    """A request with two Authorization headers is refused: proxies differ in which one counts."""
    token = api.headers["authorization"]
    twice = [("Authorization", token), ("Authorization", "Bearer other")]
    async with httpx.AsyncClient(transport=api._transport, base_url="http://api.test") as plain:
        refused(await plain.get("/v1/vm", headers=twice), 401, "unauthenticated", "twice")


async def test_a_token_is_rotated_without_a_body(api: httpx.AsyncClient) -> None:
    """Every field of a rotation may be left out, and so may the body."""
    first = (await api.post("/tokens", json=CLIENT)).json()["data"]
    rotated = await api.post(f"/tokens/{first['name']}")
    assert rotated.status_code == 200, rotated.text
    assert rotated.json()["data"]["token"] != first["token"]


async def test_a_submit_with_a_token(api: httpx.AsyncClient) -> None:
    """The client of an owner submits its job, and reads it."""
    token = (await api.post("/tokens", json=CLIENT)).json()["data"]["token"]
    assert (await api.put("/types/vm", json={})).is_success
    headers = {"Authorization": f"Bearer {token}"}
    answer = await api.post("/v1/vm/", json=submission("d"), headers=headers)
    assert answer.status_code == 201, answer.text
    assert (await api.get("/v1/vm/d", headers=headers)).json()["data"]["OwnerID"] == "y"
