"""Sign-in with a user and a password of OpenStack, at the real Keystone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from standins.keystone_server import Keystone

from rq_broker.api import create_app
from rq_broker.identity.keystone import KeystoneAuthenticator
from rq_broker.store.broker import Broker
from tests.api.conftest import refused
from tests.api.signing_in import browser
from tests.redis_reads import key_names

ROLES = ("admin=operator", "member=client", "reader=viewer")
MEMBER = {"user": "member", "password": "member", "project": "lab"}


@pytest.mark.parametrize("client", ["fake"], indirect=True)
async def test_a_user_signs_in(
    broker: Broker, client: Redis, clouds: Callable[..., None], keystone_process: Keystone
) -> None:
    """A password begins a session of its user and project; a wrong one, a project that is not the
    user's and a missing field do not; a user may be tried ten times at once, from anywhere; and
    Redis does not have the password."""
    keystone = keystone_process
    clouds(auth_type="password", auth=keystone.auth("service"), region_name="RegionOne")
    authenticator = KeystoneAuthenticator(cloud="lab", roles=ROLES)
    app = create_app(broker, authenticators=[authenticator])
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({**MEMBER, "password": "x"}, 401, "keystone_token_refused"),
        ({**MEMBER, "project": "x"}, 401, "keystone_token_refused"),
        ({"user": "member"}, 400, "invalid_request"),
        ({**MEMBER, "user": "service", "password": "service"}, 403, "no_role"),
    ]
    async with browser(app) as page, browser(app, address="10.1.1.2") as other:
        for body, status, code in wrong:
            refused(await page.post("/session/keystone", json=body), status, code)
        foreign = {"Sec-Fetch-Site": "same-site"}
        answer = await page.post("/session/keystone", json=MEMBER, headers=foreign)
        refused(answer, 403, "foreign_origin")
        assert (await page.post("/session/keystone", json=MEMBER)).is_success
        session = (await page.get("/session")).json()["data"]
        assert session["name"].startswith(f"keystone:{keystone.users['member']}@")
        assert session["role"] == "client"
        names = [name for name in await key_names(client) if ":session:" in name]
        (stored,) = [str(await client.hgetall(name)) for name in names]
        assert "sealed" in stored
        assert "'member'" not in stored
        for _ in range(7):
            await other.post("/session/keystone", json={**MEMBER, "password": "guess"})
        answer = await other.post("/session/keystone", json=MEMBER)
        refused(answer, 429, "rate_limited", "as this user")
    await authenticator.close()
