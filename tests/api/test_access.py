"""Access control: nobody without an identity, and each role what the table of roles allows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.access import guard, identity_of, scope_of
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.responses import ok
from rq_broker.api.roles import PUBLIC, Scope
from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import ACTOR, Identity, Role
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, contract, refused, submission
from tests.pages import page, rows, spans

IDENTITIES: dict[str, Identity] = {
    role.value: Identity(role, role, frozenset({"y"}) if role is Role.CLIENT else None)
    for role in Role
}
IDENTITIES |= {
    "of kube": Identity("of kube", Role.OPERATOR, types=frozenset({"kube"})),
    "of y": Identity("of y", Role.OPERATOR, frozenset({"y"})),
    "viewer of y": Identity("viewer of y", Role.VIEWER, frozenset({"y"})),
    "two": Identity("two", Role.CLIENT, frozenset({"y", "z"})),
    "client of nobody": Identity("client of nobody", Role.CLIENT),
}
PATHS = {
    "type": "vm",
    "request_id": "d",
    "host": "h",
    "source": "s",
    "token": "t",
    "test": "e",
    "page": "index",
    "rest": "x",
}


class Names:
    """Takes the header X-Who for what it says, and refuses what it does not know."""

    name = "name"
    scheme: Mapping[str, str] = {"type": "apiKey", "in": "header", "name": "X-Who"}
    challenge = 'Bearer realm="names"'

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        who = headers.get("x-who")
        if who == "away":
            raise errors.Unavailable("names are away")
        if who is not None and who not in IDENTITIES:
            raise errors.TokenUnknown("unknown")
        return None if who is None else IDENTITIES[who]


@pytest.fixture
async def app(broker: Broker) -> Starlette:
    await broker.set_policy("vm", {})
    broker.events.close()  # so that streams end behind what there is
    return create_app(broker, callback_base=BASE, inbox=True, authenticators=[Names()])


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as plain:
        answer = await plain.get("/openapi.json", headers={"X-Who": "viewer"})
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://api.test",
        event_hooks={"response": [contract(answer.json())]},
    ) as client:
        yield client


def routes(app: Starlette) -> list[Route]:
    return [route for route in app.routes if isinstance(route, Route)]


async def ask(api: httpx.AsyncClient, route: Route, who: str | None = None) -> httpx.Response:
    """Call a route with the example of its body."""
    operation = OPERATIONS[route.name]
    (method,) = (route.methods or set()) - {"HEAD"}
    path = route.path_format.format(**PATHS)
    body = operation.body and dict(operation.body.example)
    if body and "owner" in body:
        body["owner"] = "y"
    return await api.request(method, path, json=body, headers={"X-Who": who} if who else {})


async def test_nobody_is_let_in_without_an_identity(api: httpx.AsyncClient, app: Starlette) -> None:
    """Without a credential each route but the public ones is refused, an unknown path too."""
    for route in routes(app):
        answer = await ask(api, route)
        if OPERATIONS[route.name].access is PUBLIC:
            assert answer.status_code == 200, route.name
        else:
            refused(answer, 401, "unauthenticated", "send a name as X-Who")
            assert answer.headers["www-authenticate"] == 'Bearer realm="names"'
    public = {name for name, operation in OPERATIONS.items() if operation.access is PUBLIC}
    assert public == {"alive", "receive", "docs", "docs_api", "docs_page", "openapi", "session"}
    answer = await api.get("/nowhere")
    refused(answer, 401, "unauthenticated")


async def test_who_is_limited_to_types_uses_no_other(
    api: httpx.AsyncClient, app: Starlette
) -> None:
    """An operator of another type is refused at this one, and at what shows all types."""
    for route in routes(app):
        answer = await ask(api, route, "of kube")
        if "{type}" in route.path_format:
            refused(answer, 403, "forbidden", "may not use the type 'vm'")
    for path in ("/readyz", "/metrics", "/audit"):
        answer = await api.get(path, headers={"X-Who": "of kube"})
        refused(answer, 403, "forbidden", "is limited to types")
    assert (await api.get("/v1", headers={"X-Who": "of kube"})).json()["data"] == {}


async def test_who_is_limited_to_owners_may_call_no_more_than_a_client(
    api: httpx.AsyncClient, app: Starlette
) -> None:
    """An operator or a viewer of one owner is refused what belongs to no owner."""
    for route in routes(app):
        row = OPERATIONS[route.name].access
        if row is not PUBLIC and Role.CLIENT not in row:
            refused(await ask(api, route, "of y"), 403, "forbidden", f" {route.path_format}: see")
            refused(await ask(api, route, "viewer of y"), 403, "forbidden")


async def test_a_client_without_owners_is_refused(api: httpx.AsyncClient) -> None:
    """A client that names no owner would own everything, so it may do nothing."""
    answer = await api.get("/v1/vm", headers={"X-Who": "client of nobody"})
    refused(answer, 403, "forbidden")


async def test_a_credential_of_no_use(api: httpx.AsyncClient) -> None:
    """A refused credential has a code of its own; a store that is away is no refusal of it."""
    answer = await api.get("/v1/vm", headers={"X-Who": "stranger"})
    refused(answer, 401, "token_unknown")
    assert answer.headers["www-authenticate"] == 'Bearer realm="names", error="invalid_token"'
    answer = await api.get("/v1/vm", headers={"X-Who": "away"})
    refused(answer, 503, "redis_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_of_two_credentials_none_or_the_first_counts(api: httpx.AsyncClient) -> None:
    """Authorization that is given twice is refused; of another header the first one counts."""
    twice = [("Authorization", "Bearer a"), ("X-Who", "admin"), ("authorization", "Bearer b")]
    answer = await api.get("/v1/vm", headers=twice)
    refused(answer, 401, "unauthenticated", "the header Authorization is given twice")
    answer = await api.get("/v1/vm", headers=[("X-Who", "stranger"), ("X-Who", "admin")])
    refused(answer, 401, "token_unknown")


async def test_the_same_is_public_below_a_prefix(broker: Broker) -> None:
    """Below a prefix, probes, documents and the page's files need no identity, all else does."""
    app = create_app(broker, authenticators=[Names()])
    transport = httpx.ASGITransport(app, root_path="/v1")
    async with httpx.AsyncClient(transport=transport, base_url="http://test/v1") as api:
        for path in ("", "/", "/healthz", "/docs", "/docs/http", "/openapi.json", "/line/vm"):
            assert (await api.get(path)).status_code == 200, path
        for path in ("/v1/docs", "/v1/line/vm", "/types/docs", "/metrics", "/nowhere"):
            refused(await api.get(path), 401, "unauthenticated")


async def test_an_endpoint_knows_who_asks_and_for_what(broker: Broker) -> None:
    """The endpoint sees the identity, its scope and the actor; after the request there is none."""
    app = create_app(broker, authenticators=[Names()])

    async def alive(request: Request) -> Response:
        return ok([str(identity_of(request).name), scope_of(request), repr(ACTOR.get())])

    app.router.routes[:0] = [guard(Route("/who/{type}", alive, name="page"))]
    transport = httpx.ASGITransport(app, client=("10.1.2.3", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        answers = {
            who: (await api.get("/who/vm", headers={"X-Who": who, "X-Request-ID": "r1"})).json()[
                "data"
            ]
            for who in ("client", "viewer", "viewer of y", "of y", "admin")
        }
    assert ACTOR.get() is None
    scopes = {who: scope for who, (_, scope, _) in answers.items()}
    assert scopes == {
        "client": Scope.OWN,
        "viewer": Scope.REDACTED,
        "viewer of y": Scope.REDACTED,
        "of y": Scope.OWN,
        "admin": Scope.ALL,
    }
    assert answers["of y"][2] == "Actor(name='of y', address='10.1.2.3', request_id='r1')"


async def test_a_hidden_route_is_for_admins(broker: Broker) -> None:
    """A route that the document leaves out has no row, so that only an admin may call it."""
    app = create_app(broker, noop=True, authenticators=[Names()])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        refused(await api.post("/noop", headers={"X-Who": "operator"}), 403, "forbidden")
        assert (await api.post("/noop", headers={"X-Who": "admin"})).is_success


async def test_the_document_shows_roles_and_credentials(api: httpx.AsyncClient) -> None:
    """Each operation names the roles that may call it, and the document the credentials."""
    answer = await api.get("/openapi.json", headers={"X-Who": "client"})
    document: dict[str, Any] = answer.json()
    assert document["components"]["securitySchemes"] == {"name": dict(Names.scheme)}
    assert document["security"] == [{"name": []}]
    for methods in document["paths"].values():
        for operation in methods.values():
            row = OPERATIONS[operation["operationId"]].access
            assert operation.get("x-roles", {}) == dict(row)
            assert (operation.get("security") == [{}]) == (row is PUBLIC)


def calling(broker: Broker, who: str, **options: Any) -> httpx.AsyncClient:
    """Return a client that calls an API as one of the identities."""
    app = create_app(broker, callback_base=BASE, authenticators=[Names()], **options)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://api.test",
        headers={"X-Who": who},
    )


HOST = {"capacity": {"VCPU": 1}}
MAKERS: dict[str, tuple[str, str, Any]] = {
    "submit": ("POST", "/v1/vm", submission("d")),
    "submit_many": ("POST", "/types/vm/jobs", {"jobs": [submission("d")]}),
    "set_policy": ("PUT", "/types/vm", {"patience": 1}),
    "patch_policy": ("PATCH", "/types/vm", {"patience": 1}),
    "set_host": ("PUT", "/types/vm/hosts/h", HOST),
    "set_keys": ("PUT", "/types/vm/keys", {"owner": "y", "keys": []}),
}
"""Operation that makes a type → a call of it."""


async def test_only_an_admin_makes_a_type(broker: Broker) -> None:
    """Whoever else names a type that is not there is refused, unless types are open."""
    for name, (method, path, body) in MAKERS.items():
        assert OPERATIONS[name].makes_type
        allowed = OPERATIONS[name].access.keys() - {Role.ADMIN}
        for role in sorted(allowed):
            async with calling(broker, role) as api:
                answer = await api.request(method, path, json=body)
                refused(answer, 403, "forbidden", "there is no type 'vm'")
        assert await broker.names() == []
        async with calling(broker, sorted(allowed)[0], open_types=True) as api:
            assert (await api.request(method, path, json=body)).is_success
        await broker.runner.client.flushall()
        broker = Broker(broker.runner.client)
    async with calling(broker, "admin") as api:
        assert (await api.put("/types/vm", json={"patience": 1})).is_success
    await broker.runner.client.delete("rqb:types")
    for who in ("client", "operator"):
        async with calling(Broker(broker.runner.client), who) as api:
            assert (await api.post("/v1/vm", json=submission(who))).status_code == 201


async def test_a_source_works_on_the_hosts_that_it_published(broker: Broker) -> None:
    """It sees, replaces and drops its own hosts, and none that another published."""
    await broker.set_host("vm", Host("theirs", {"VCPU": 1}))
    async with calling(broker, "source") as source, calling(broker, "operator") as operator:
        assert (await source.put("/types/vm/hosts/mine", json=HOST)).status_code == 201
        assert (await source.put("/types/vm/hosts/mine", json=HOST)).status_code == 200
        refused(await source.put("/types/vm/hosts/theirs", json=HOST), 403, "forbidden")
        refused(await source.delete("/types/vm/hosts/theirs"), 403, "forbidden")
        refused(await source.get("/types/vm/hosts/theirs"), 404, "host_not_found")
        listed = (await source.get("/types/vm/hosts")).json()["data"]
        assert [host["name"] for host in listed] == ["mine"]
        assert (await source.get("/types/vm/hosts/mine")).is_success
        assert len((await operator.get("/types/vm/hosts")).json()["data"]) == 2
        assert (await source.delete("/types/vm/hosts/mine")).is_success
        assert (await source.put("/types/vm/hosts/mine", json=HOST)).status_code == 201
        assert (await operator.put("/types/vm/hosts/mine", json=HOST)).is_success
        refused(await source.put("/types/vm/hosts/mine", json=HOST), 403, "forbidden")


async def test_the_owner_comes_from_the_identity(broker: Broker) -> None:
    """Who acts for one owner need not name it; naming another is refused, an operator may."""
    await broker.set_policy("vm", {})
    job = {key: value for key, value in submission("d").items() if key != "owner_id"}
    async with calling(broker, "client") as client:
        assert (await client.post("/v1/vm", json=job)).json()["data"]["OwnerID"] == "y"
        null = {**job, "request_id": "e", "callback": "e", "owner_id": None}
        assert (await client.post("/v1/vm", json=null)).json()["data"]["OwnerID"] == "y"
        other = submission("f", owner_id="z")
        refused(await client.post("/v1/vm", json=other), 403, "forbidden", "the owner 'z'")
        assert (await client.post("/v1/vm", json=submission("g"))).is_success
    for who, answer in {"two": 400, "operator": 400}.items():
        async with calling(broker, who) as api:
            body = {**job, "request_id": who, "callback": who}
            assert (await api.post("/v1/vm", json=body)).status_code == answer
            body["owner_id"] = "z"
            assert (await api.post("/v1/vm", json=body)).status_code == 201


def test_the_page_on_security_has_the_table(app: Starlette) -> None:
    """The table on the page is the one by which the API decides, call by call."""
    (header, *_) = [line for line in page("security").splitlines() if line.startswith("| call |")]
    assert header == f"| call | {' | '.join(Role)} |"
    told = {spans(call)[0]: cells for call, *cells in rows(page("security"), "call")}
    decided = {}
    for route in routes(app):
        (method,) = (route.methods or set()) - {"HEAD"}
        row = OPERATIONS[route.name].access
        cells = ["anybody" if row is PUBLIC else row.get(role, "–") for role in Role]
        decided[f"{method} {route.path_format}"] = cells
    assert told == decided
