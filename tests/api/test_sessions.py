"""Sessions: who asks, and what a page may offer to this identity."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker
from tests.api.tenants import WhoHeader, client

WHO = WhoHeader(
    client("a client", "y"),
    Identity("a viewer", Role.VIEWER),
    Identity("an operator", Role.OPERATOR, None, frozenset({"vm"})),
)


def calling(broker: Broker, who: str = "", **options: Any) -> httpx.AsyncClient:
    """Return a client of an API of these options, which calls as one of the identities."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(broker, **options)),
        base_url="http://api.test",
        headers={"X-Who": who} if who else {},
    )


async def asked(api: httpx.AsyncClient) -> dict[str, Any]:
    """Return what the API says of who asks."""
    answer = await api.get("/session")
    assert answer.headers["cache-control"] == "no-store"
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_without_access_control_everybody_is_an_admin(broker: Broker) -> None:
    """The page may offer everything, and no sign-in; with read_only it may offer no change."""
    async with calling(broker) as api:
        session = await asked(api)
    rights = session.pop("may")
    assert session == {
        "role": "admin",
        "name": "anyone",
        "owners": None,
        "types": None,
        "read_only": False,
        "sign_in": [],
    }
    assert rights["set_policy"] == rights["create_token"] == rights["what_if"] == "all"
    async with calling(broker, read_only=True) as api:
        session = await asked(api)
    assert session["read_only"]
    assert session["may"].keys() & {"set_policy", "submit", "withdraw", "what_if"} == {"what_if"}


async def test_nobody_is_told_how_to_sign_in(broker: Broker) -> None:
    """Without a credential there is no role and no right, and the ways to sign in."""
    async with calling(broker, authenticators=[WHO]) as api:
        session = await asked(api)
        assert (session["role"], session["name"], session["may"]) == (None, None, {})
        assert session["sign_in"] == ["who"]
        refused = await api.get("/session", headers={"X-Who": "stranger"})
        assert refused.json()["code"] == "token_unknown"


@pytest.mark.parametrize(
    ("who", "owners", "types", "rights"),
    [
        ("a client", ["y"], None, {"withdraw": "own", "set_policy": None, "explain": "own"}),
        ("a viewer", None, None, {"withdraw": None, "page": "redacted", "explain": "all"}),
        ("an operator", None, ["vm"], {"withdraw": "all", "ready": None, "create_token": None}),
    ],
)
async def test_each_identity_is_told_its_rights(
    broker: Broker, who: str, owners: Any, types: Any, rights: dict[str, str | None]
) -> None:
    """`may` has the operations that the identity may call, as the API itself decides."""
    async with calling(broker, who, authenticators=[WHO]) as api:
        session = await asked(api)
    assert (session["name"], session["owners"], session["types"]) == (who, owners, types)
    assert {name: session["may"].get(name) for name in rights} == rights
