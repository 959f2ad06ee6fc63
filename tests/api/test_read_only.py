"""An API that runs with --read-only: it answers questions, and changes nothing for nobody."""

from __future__ import annotations

import httpx
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.roles import PUBLIC
from rq_broker.domain.identity import Role
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, refused
from tests.api.tenants import WhoHeader
from tests.api.test_cells import IDENTITIES, MINE, ask, scene

QUESTIONS = {"what_if"}
"""Operations by POST that change nothing."""
SIGNS_IN = {"create_session", "end_session"}


async def test_every_change_is_refused(broker: Broker) -> None:
    """Each operation that changes something is a 403 `read_only` for an admin, `forbidden` for who
    may not call it anyway; reads and questions go on; the session offers what is left."""
    await scene(broker, "vm")
    broker.events.close()  # so that streams end behind what there is
    who = WhoHeader(*IDENTITIES)
    app = create_app(broker, callback_base=BASE, inbox=True, authenticators=[who], read_only=True)
    routes = [route for route in app.routes if isinstance(route, Route)]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api.test"
    ) as api:
        seen = ("/types/vm/audit", "/types/vm", "/types/vm/hosts", "/types/vm/keys", "/v1/vm")
        admin = {"X-Who": "admin"}
        before = [(await api.get(path, headers=admin)).text for path in seen]
        for route in routes:
            row = OPERATIONS[route.name].access
            if row is PUBLIC or route.name in SIGNS_IN:
                continue
            answer = await ask(api, route, Role.ADMIN, MINE, "vm")
            if "GET" in (route.methods or ()) or route.name in QUESTIONS:
                assert answer.status_code in (200, 409), (route.name, answer.text)
                continue
            refused(answer, 403, "read_only", "this API is read-only")
            if Role.VIEWER not in row:
                refused(await ask(api, route, Role.VIEWER, MINE, "vm"), 403, "forbidden")
        assert before == [(await api.get(path, headers=admin)).text for path in seen]
        session = (await api.get("/session", headers=admin)).json()["data"]
    assert session["read_only"] is True
    assert "what_if" in session["may"]
    assert not {"submit", "withdraw", "set_policy", "create_token"} & set(session["may"])
