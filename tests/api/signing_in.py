"""Browsers for tests of sessions: clients that keep cookies, and say for which page they ask."""

from __future__ import annotations

from typing import Any

import httpx
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def serving(broker: Broker, *others: Any, **options: Any) -> Starlette:
    """Return an API that takes tokens, and other credentials too."""
    authenticators = [TokenAuthenticator(broker.token), *others]
    return create_app(broker, callback_base=BASE, authenticators=authenticators, **options)


def browser(
    app: Starlette, base: str = "http://api.test", *, address: str = "10.1.1.1", root: str = ""
) -> httpx.AsyncClient:
    """Return a browser in which a page of the API is open."""
    transport = httpx.ASGITransport(app, client=(address, 5), root_path=root)
    return httpx.AsyncClient(transport=transport, base_url=f"{base}{root}", headers=OWN_PAGE)


async def token_of(broker: Broker, role: str, name: str = "me", **fields: Any) -> str:
    """Make a token."""
    issued = await tokens.create(broker, NewToken(Role(role), name, **fields))
    return issued.secret


async def sign_in(page: httpx.AsyncClient, token: str) -> httpx.Response:
    """Sign in with a token."""
    return await page.post("/session", headers={"Authorization": f"Bearer {token}"})
