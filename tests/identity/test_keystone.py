"""The real Keystone: whom its tokens prove, for how long, and what holds while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standins.http_servers import Server, canned
from standins.keystone_server import Keystone

from rq_broker.api import create_app
from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import BrokerError
from rq_broker.domain.identity import Identity, Role
from rq_broker.identity.keystone import MOST_CHECKS, SPAN, KeystoneAuthenticator
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory

ROLES = ("admin=operator", "member=client", "reader=viewer")
Opened = Callable[..., KeystoneAuthenticator]


class Clock:
    """A clock that stands still until a test moves it, seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keystone(keystone_process: Keystone) -> Keystone:
    if keystone_process.child.poll() is not None:  # a test that failed left it down
        keystone_process.start()
    return keystone_process


@pytest.fixture
def opened(clouds: Callable[..., None], clock: Clock, keystone: Keystone) -> Opened:
    """Open an authenticator with the login of the user `service`."""

    def open_authenticator(user: str = "service", **settings: Any) -> KeystoneAuthenticator:
        clouds(auth_type="password", auth=keystone.auth(user), region_name="RegionOne")
        arguments: dict[str, Any] = {"cloud": "lab", "roles": ROLES, "clock": clock} | settings
        return KeystoneAuthenticator(**arguments)

    return open_authenticator


async def outcome(
    authenticator: KeystoneAuthenticator, headers: dict[str, str]
) -> Identity | tuple[int, str] | None:
    """Return the identity of a request, or the status and code of its refusal."""
    lower_case = {name.lower(): value for name, value in headers.items()}
    try:
        return await authenticator.identify(lower_case)
    except BrokerError as error:
        return error.status, error.code


def short_token(keystone: Keystone) -> tuple[dict[str, str], datetime]:
    """Return the headers of a token that ends with its credential, in seconds, and its end."""
    for seconds in (2, 8, 32):  # a busy machine may need longer than a credential lives
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        expires_at = ends.replace(tzinfo=None).isoformat()
        with suppress(httpx.HTTPStatusError):
            return keystone.token_of(keystone.credential("member", expires_at=expires_at)), ends
    raise AssertionError("no credential lived long enough for a login")


REFUSED = (401, "keystone_token_refused")
UNSCOPED = (401, "keystone_token_unscoped")
AWAY = (503, "keystone_unavailable")


async def test_the_project_is_the_owner_and_its_roles_are_mapped(
    keystone: Keystone, opened: Opened
) -> None:
    """A reader views, a member is a client, an admin an operator; other roles are none here."""
    authenticator = opened()
    lab = keystone.call("GET", "/projects?name=lab")["projects"][0]["id"]
    own = frozenset({lab})
    expected: dict[str, tuple[Role, frozenset[str] | None]]
    expected = {"reader": (Role.VIEWER, own), "member": (Role.CLIENT, own)}
    expected |= {"admin": (Role.OPERATOR, None)}
    for user, (role, owners) in expected.items():
        name = f"keystone:{keystone.users[user]}@{lab}"
        found = await outcome(authenticator, keystone.token(user))
        assert found == Identity(name, role, owners)
    assert await outcome(authenticator, keystone.token("service")) == (403, "no_role")
    assert await outcome(authenticator, {"Authorization": "Bearer x"}) is None


async def test_owners_by_name_are_those_of_one_domain(keystone: Keystone, opened: Opened) -> None:
    """With names, and with a named domain, a project of another domain is not let in."""
    token = keystone.token("member")
    found = await outcome(opened(owner="name"), token)
    assert isinstance(found, Identity)
    assert found.owners == frozenset({"lab"})
    assert await outcome(opened(domain="other"), token) == UNSCOPED
    assert isinstance(await outcome(opened(domain="default"), token), Identity)


async def test_a_project_by_the_name_that_stands_for_all_is_no_owner(
    keystone: Keystone, opened: Opened
) -> None:
    """A project `*` is let in by its id, and not by its name, which means every owner."""
    project = {"project": {"name": "*", "domain_id": "default"}}
    id_ = keystone.call("POST", "/projects", project)["project"]["id"]
    roles = {role["name"]: role["id"] for role in keystone.call("GET", "/roles")["roles"]}
    path = f"/projects/{id_}/users/{keystone.users['member']}/roles/{roles['member']}"
    keystone.call("PUT", path)
    token = keystone.token("member", "*")
    found = await outcome(opened(), token)
    assert isinstance(found, Identity)
    assert found.owners == frozenset({id_})
    assert await outcome(opened(owner="name"), token) == UNSCOPED


async def test_tokens_without_a_project_are_refused(keystone: Keystone, opened: Opened) -> None:
    """Unscoped, domain-scoped and system-scoped tokens have their own code."""
    authenticator = opened()
    admin = {"id": keystone.users["admin"], "password": "admin"}
    identity = {"methods": ["password"], "password": {"user": admin}}
    keystone.grant_domain_and_system("admin")
    scopes: list[Any] = ["unscoped", {"domain": {"id": "default"}}, {"system": {"all": True}}]
    for scope in scopes:
        answer = keystone.client.post(
            f"{keystone.url}/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}
        )
        answer.raise_for_status()
        headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
        assert await outcome(authenticator, headers) == UNSCOPED, scope


async def test_a_revoked_token_ends_within_the_span(
    keystone: Keystone, opened: Opened, clock: Clock
) -> None:
    """A revocation is seen as soon as the cached answer has ended, and never after the span."""
    authenticator, token = opened(), keystone.token("member")
    assert isinstance(await outcome(authenticator, token), Identity)
    subject = token | {"X-Subject-Token": token["X-Auth-Token"]}
    keystone.client.delete(f"{keystone.url}/auth/tokens", headers=subject).raise_for_status()
    clock.now += SPAN - 0.1
    assert isinstance(await outcome(authenticator, token), Identity)
    clock.now += 0.1
    assert await outcome(authenticator, token) == REFUSED


async def test_keys_rotate_under_the_tokens_of_users_and_of_the_broker(
    keystone: Keystone, opened: Opened, clock: Clock
) -> None:
    """After a rotation that ends all tokens the broker logs in again, and lets new ones in."""
    authenticator, old = opened(), keystone.token("member")
    assert isinstance(await outcome(authenticator, old), Identity)
    keystone.rotate_keys()
    clock.now += SPAN
    assert await outcome(authenticator, old) == REFUSED
    assert isinstance(await outcome(authenticator, keystone.token("member")), Identity)


async def test_an_expired_token_is_refused(
    keystone: Keystone, opened: Opened, clock: Clock
) -> None:
    """An answer is kept no longer than its token lives, however long the span is."""
    authenticator = opened()
    _, seconds = authenticator._read(
        await authenticator._ask(keystone.token("member")["X-Auth-Token"])
    )
    assert 0 < seconds <= keystone.expiration
    token, ends = short_token(keystone)
    first = await outcome(authenticator, token)
    assert isinstance(first, Identity) or datetime.now(UTC) >= ends.replace(microsecond=0)
    while await outcome(authenticator, token) != REFUSED:
        clock.now += 2  # the answer has ended, while the span has not
        await asyncio.sleep(0.05)
    assert datetime.now(UTC) >= ends.replace(microsecond=0)  # Keystone counts whole seconds


async def test_while_keystone_is_away_known_tokens_go_on_for_the_span(
    keystone: Keystone, opened: Opened, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Known tokens serve until their answer ends; then, and for new ones, it is a 503."""
    authenticator, known, new = opened(), keystone.token("member"), keystone.token("reader")
    assert isinstance(await outcome(authenticator, known), Identity)
    keystone.stop()
    assert await outcome(authenticator, new) == AWAY
    assert isinstance(await outcome(authenticator, known), Identity)
    clock.now += SPAN
    for _ in range(3):
        assert await outcome(authenticator, known) == AWAY
        clock.now += 0.4
    # One line a minute, whose reason never reaches a client.
    assert len([line for line in caplog.messages if "tokens cannot be checked" in line]) == 2
    keystone.start()
    clock.now += SPAN
    assert isinstance(await outcome(authenticator, known), Identity)
    assert isinstance(await outcome(authenticator, new), Identity)


async def test_the_api_takes_tokens(keystone: Keystone, opened: Opened) -> None:
    """A project sees its own jobs; without Keystone it is a 503 with Retry-After, never a 200."""
    broker = Broker(in_memory())
    await broker.set_host("vm", Host("h", {"VCPU": 4}))
    app = create_app(broker, callback_base="http://r.test/", authenticators=[opened()])
    member, reader = keystone.token("member"), keystone.token("reader")
    lab = keystone.call("GET", "/projects?name=lab")["projects"][0]["id"]
    job: dict[str, Any] = {"request_id": "d", "owner_id": lab, "callback": "abc"}
    job["data"] = {"instances": [{"VCPU": 1}], "project": lab}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        assert (await api.post("/v1/vm", json=job, headers=member)).status_code == 201
        assert (await api.post("/v1/vm", json=job, headers=reader)).status_code == 403
        (seen,) = (await api.get("/v1/vm", headers=reader)).json()["data"]
        assert seen["OwnerID"] == lab
        answer = await api.get("/v1/vm", headers={"X-Auth-Token": "none"})
        assert (answer.status_code, answer.json()["code"]) == REFUSED
        assert answer.headers["www-authenticate"] == f'Keystone uri="{keystone.url}"'
        new = keystone.token("member")
        keystone.stop()
        answer = await api.get("/v1/vm", headers=new)
        assert (answer.status_code, answer.json()["code"]) == AWAY
        assert answer.headers["retry-after"] == "2"
        assert (await api.get("/v1/vm", headers=member)).status_code == 200
    keystone.start()


async def test_a_login_without_rights_lets_nobody_in(keystone: Keystone, opened: Opened) -> None:
    """If Keystone lets the broker's own user check no tokens, every token is a 503."""
    authenticator = opened("reader")
    assert await outcome(authenticator, keystone.token("member")) == AWAY


class Canned:
    """A Keystone that answers what a test sets, and counts how often it was asked about a token."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.server = Server(canned(self.answers))
        url = self.server.url
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{url}/v3"}],
        }
        self.answers["/v3"] = {"version": version}

    @property
    def asked(self) -> int:
        return self.server.log.count("/v3/auth/tokens?nocatalog")


@pytest.fixture
def fake(clouds: Callable[..., None], clock: Clock) -> Any:
    canned_keystone = Canned()
    url = f"{canned_keystone.server.url}/v3"
    clouds(auth_type="admin_token", auth={"endpoint": url, "token": "t"})
    yield canned_keystone, KeystoneAuthenticator(cloud="lab", roles=ROLES, clock=clock)
    canned_keystone.server.stop()


async def test_no_answer_and_no_token_lets_anybody_in(fake: Any, clock: Clock) -> None:
    """Whatever Keystone answers, and whatever a client sends: a refusal, and never a 500."""
    keystone, authenticator = fake
    project = {"id": "p", "name": "lab", "domain": {"id": "default"}}
    good = {"project": project, "user": {"id": "u"}, "roles": [{"name": "member"}]}
    good["expires_at"] = "2999-01-01T00:00:00.000000Z"
    wrong: list[Any] = [{}, [], None, {"token": {}}, {"token": []}, {"token": {"project": 1}}]
    wrong += [{"token": {**good, key: None}} for key in good]
    wrong += [{"token": {key: value for key, value in good.items() if key != left_out}}
              for left_out in good]  # fmt: skip
    wrong += [{"token": {**good, "expires_at": "soon"}}, {"token": {**good, "roles": ["member"]}}]
    for number, answer in enumerate(wrong):
        keystone.answers["/v3/auth/tokens?nocatalog"] = answer
        found = await outcome(authenticator, {"X-Auth-Token": f"t{number}"})
        assert found in (AWAY, UNSCOPED), answer
        clock.now += 10
    keystone.answers["/v3/auth/tokens?nocatalog"] = {"token": {**good, "is_domain": True}}
    assert await outcome(authenticator, {"X-Auth-Token": "domain"}) == UNSCOPED
    keystone.answers["/v3/auth/tokens?nocatalog"] = {"token": {**good, "roles": []}}
    assert await outcome(authenticator, {"X-Auth-Token": "none"}) == (403, "no_role")
    for fault in ("500", "not json", "torn", "empty", "401", "403", "429", "reset"):
        keystone.server.fault = fault
        assert await outcome(authenticator, {"X-Auth-Token": fault.replace(" ", "-")}) == AWAY, (
            fault
        )
        clock.now += 10
    keystone.server.fault = ""
    asked = keystone.asked
    for token in ("", " ", "a b", "ä", "x\n", "%41", "t" * 5000, "\x00", "\udcff"):
        assert await outcome(authenticator, {"X-Auth-Token": token}) == REFUSED, token
    assert keystone.asked == asked


async def test_keystone_is_asked_once_about_a_token(fake: Any, clock: Clock) -> None:
    """Requests share a check, refused tokens are remembered, and a flood is bounded."""
    keystone, authenticator = fake
    refused = {"X-Auth-Token": "unknown"}
    outcomes = await asyncio.gather(*(outcome(authenticator, refused) for _ in range(50)))
    assert (set(outcomes), keystone.asked) == ({REFUSED}, 1)
    assert await outcome(authenticator, refused) == REFUSED
    assert keystone.asked == 1
    clock.now += 6
    assert await outcome(authenticator, refused) == REFUSED
    assert keystone.asked == 2
    flood = [{"X-Auth-Token": f"flood{number}"} for number in range(MOST_CHECKS + 10)]
    outcomes = await asyncio.gather(*(outcome(authenticator, headers) for headers in flood))
    assert outcomes.count(AWAY) == 10
    assert outcomes.count(REFUSED) == MOST_CHECKS


async def test_a_client_that_hangs_up_does_not_end_the_check_of_others(fake: Any) -> None:
    """Two requests wait for one check; the first is cancelled, and the second has its answer."""
    keystone, authenticator = fake
    keystone.server.fault = "silent"
    tasks = [
        asyncio.create_task(outcome(authenticator, {"X-Auth-Token": "slow"})) for _ in range(2)
    ]
    while not keystone.asked:
        await asyncio.sleep(0.01)
    tasks[0].cancel()
    keystone.server.release_silent.set()
    assert await tasks[1] == AWAY
    assert tasks[0].cancelled() or tasks[0].cancelling()


def test_wrong_settings_are_told(opened: Opened) -> None:
    """An unknown role, a pair of another form and another owner are refused at the start."""
    wrong: list[dict[str, Any]] = [{"roles": ["a=king"]}, {"roles": ["member"]}, {"owner": "user"}]
    for settings in wrong:
        with pytest.raises(errors.Invalid, match="--keystone-"):
            opened(**settings)
