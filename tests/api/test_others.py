"""The line as a client sees it: its own jobs, and of others places and sizes."""

from __future__ import annotations

import httpx

from rq_broker.api import create_app
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, submission
from tests.api.tenants import WhoHeader, client

THEIRS = {
    "instances": [
        {"VCPU": 8, "secret": 3},
        {"VCPU": 8},
        {"VCPU": 2, "count": {"min": 2, "max": 9}},
    ],
    "project": "secret",
}


async def test_others_in_line_are_places_and_sizes(broker: Broker) -> None:
    """Each place of the line is told once, by the job if it is one's own, else by its sizes in
    resources that hosts have; no cursor and no word of another's is in the answer."""
    await broker.set_host("vm", Host("h", {"VCPU": 1}))
    who = WhoHeader(client("me", "mine"), Identity("op", Role.OPERATOR))
    app = create_app(broker, callback_base=BASE, authenticators=[who])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        for number, owner in enumerate(("secret", "mine", "secret", "mine")):
            body = submission(f"{owner}-{number}", owner_id=owner)
            body |= {"data": THEIRS} if owner == "secret" else {}
            await api.post("/v1/vm", json=body, headers={"X-Who": "op"})
        answer = await api.get("/v1/vm?status=queued&from=2&limit=2", headers={"X-Who": "me"})
        whole = await api.get("/v1/vm?status=queued&from=1&reason=1", headers={"X-Who": "me"})
        operators = await api.get("/v1/vm?status=queued&from=1", headers={"X-Who": "op"})
    told = answer.json()
    assert [job["Position"] for job in told["data"]] == [2]
    sizes = [{"VCPU": 8, "count": 2}, {"VCPU": 2, "count": 2}]
    assert told["others"] == [{"position": 3, "instances": sizes}]
    assert (told["count"], told["next"]) == (4, None)
    places = [each["position"] for each in whole.json()["others"]]
    assert places + [job["Position"] for job in whole.json()["data"]] == [1, 3, 2, 4]
    assert "secret" not in answer.text + whole.text
    assert "others" not in operators.json()
    assert len(operators.json()["data"]) == 4
