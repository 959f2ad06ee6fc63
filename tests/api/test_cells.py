"""Every cell of the table of roles: each route × role × own or another's, from the declaration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.roles import PUBLIC, Scope
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests import making
from tests.api.conftest import BASE, submission
from tests.api.tenants import WhoHeader

MINE, THEIRS = "mine", "theirs"
IDENTITIES = [
    Identity(role, role, frozenset({MINE}) if role is Role.CLIENT else None) for role in Role
]
ROUTES = {
    route.name: route
    for route in create_app(Broker(in_memory()), inbox=True).routes
    if isinstance(route, Route)
}
PATHS = {"source": "s", "token": "t", "test": "t", "page": "index", "rest": "x"}


async def scene(broker: Broker, type_: str) -> None:
    """Fill a type: a waiting job, a host and a key of mine and of theirs."""
    await broker.set_policy(type_, {"limits": {MINE: {"VCPU": 9}, THEIRS: {"VCPU": 9}}})
    for owner in (MINE, THEIRS):
        publisher = Role.SOURCE if owner == MINE else THEIRS
        host = Host(f"{owner}-host", {"VCPU": 64}, aggregates=frozenset({"a"}))
        await broker.set_host(type_, host, publisher)
        await broker.set_keys(type_, owner, [f"whsec_{owner}"])
        await making.submit(
            broker,
            f"{owner}-job",
            type_,
            owner_id=owner,
            callback=f"http://x/{owner}-{type_}-hook",
            data=f'{{"project":"{owner}-secret"}}',
            shape=making.shape({"VCPU": 1}, owner=owner),
        )
    await broker.send_test(type_, PATHS["test"], "http://x/t", "http://x:80")


@pytest.fixture
async def served(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API of a broker in which type vm has destinations too."""
    await scene(broker, making.TYPE)
    await making.publish(broker)
    for owner in (MINE, THEIRS):
        await making.grant_to(broker, f"http://{owner}.test:80", f"{owner}-granted", owner)
    who = WhoHeader(*IDENTITIES)
    broker.events.close()  # so that streams end behind what there is
    app: Starlette = create_app(broker, callback_base=BASE, inbox=True, authenticators=[who])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api.test"
    ) as client:
        yield client


def body_of(name: str, whose: str, number: int) -> Any:
    """Return the body of a call about what is mine or theirs."""
    operation = OPERATIONS[name]
    if name == "submit":
        return submission(f"new-{number}", owner_id=whose, callback=f"new-{number}")
    if operation.body is None:
        return None
    body = dict(operation.body.example)
    if "owner" in body:
        body["owner"] = whose
    if name == "what_if":
        body["owner_id"] = whose
    return body


async def ask(
    api: httpx.AsyncClient, route: Route, role: Role, whose: str, type_: str
) -> httpx.Response:
    """Call a route about what is mine or theirs."""
    (method,) = (route.methods or set()) - {"HEAD"}
    names = {"type": type_, "request_id": f"{whose}-job", "host": f"{whose}-host", **PATHS}
    body = body_of(route.name, whose, hash(type_))
    path = route.path_format.format(**names)
    if route.name == "type_events":
        path += "?last_event_id=1"
    if route.name == "all_events":
        path += f"?last_event_id=0&type={type_}"
    return await api.request(method, path, json=body, headers={"X-Who": role})


def check(answer: httpx.Response, scope: Scope | None, whose: str) -> None:
    """Expect what a cell says."""
    code = "" if answer.is_success else answer.json()["code"]
    if scope is None:
        assert (answer.status_code, code) == (403, "forbidden")
        return
    if scope is Scope.OWN:
        refused = answer.status_code == 403 or code in ("job_not_found", "host_not_found")
        assert not refused or whose == THEIRS, "its own is refused"
        assert refused or THEIRS not in answer.text, "another's is shown"
        return
    assert answer.status_code not in (401, 403)
    assert code not in ("job_not_found", "host_not_found")
    if scope is Scope.REDACTED:
        assert "hook" not in answer.text
        assert "secret" not in answer.text
        assert "-job" in answer.text or answer.json()["data"] == []
    if scope is Scope.TOTALS:
        assert "-host" not in answer.text
        assert answer.json()["data"]


@pytest.mark.parametrize("role", Role)
async def test_every_cell(broker: Broker, served: httpx.AsyncClient, role: Role) -> None:
    """A role gets what its cell says, of its own and of another's."""
    number = 0
    for name, route in ROUTES.items():
        row = OPERATIONS[name].access
        if row is PUBLIC:
            continue
        for whose in (MINE, THEIRS):
            type_ = making.TYPE
            changes = "GET" not in (route.methods or ())
            if changes and role in row and "{type}" in route.path_format:
                number += 1
                type_ = f"vm{number}"  # what a call changes, no other meets
                await scene(broker, type_)
            answer = await ask(served, route, role, whose, type_)
            try:
                check(answer, row.get(role), whose)
            except AssertionError as error:
                raise AssertionError(f"{name} of {whose}: {answer} {answer.text}") from error


async def test_the_cells_tell_more_from_less(broker: Broker, served: httpx.AsyncClient) -> None:
    """The markers are there to be seen: an admin sees each of them where others must not."""
    assert await broker.names()
    headers = {"X-Who": "admin"}
    jobs = (await served.get("/v1/vm", headers=headers)).text
    for marker in ("mine-vm-hook", "theirs-vm-hook", "mine-secret", "theirs-secret"):
        assert marker in jobs
    for path in ("/types/vm", "/types/vm/hosts", "/types/vm/keys", "/types/vm/destinations"):
        assert THEIRS in (await served.get(path, headers=headers)).text
