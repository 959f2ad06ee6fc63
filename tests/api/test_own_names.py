"""How jobs are named and moved by who may name some owners' jobs only, and by who may name all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, listed, refused
from tests.api.test_own import WHO, of, operator_client, submit
from tests.making import TYPE


@pytest.fixture
async def api(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(broker, callback_base=BASE, authenticators=[WHO])
    async with operator_client(app, TYPE) as operator:
        yield operator


@pytest.mark.parametrize("by", ["update", "action"])
@pytest.mark.parametrize("names", ["per_type", "per_owner"])
async def test_a_client_moves_its_own_arrays(
    api: httpx.AsyncClient, broker: Broker, names: str, by: str
) -> None:
    """An array moves among the jobs of its owner, by an update as by an action."""
    await api.put(f"/types/{TYPE}", json={"names": names})
    for who, name in (("other", "first"), ("y", "a"), ("y", "b")):
        owner = {"owner_id": "x" if who == "other" else "y"}
        assert (await submit(api, who, name, **owner, callback=f"http://x/{name}")).is_success
    await submit(api, "y", "s", callback="http://x/s-{n}", count=3)
    await submit(api, "other", "last", owner_id="x", callback="http://x/last")

    async def move(place: dict[str, Any]) -> httpx.Response:
        if by == "update":
            return await api.post(f"/v1/{TYPE}/s[*]", json=place, headers=of("y"))
        body = {"action": "move", "request_ids": ["s[*]"], **place}
        return await api.post(f"/types/{TYPE}/actions", json=body, headers=of("y"))

    for end, order in (
        ("front", "first s[0] s[1] s[2] a b last"),
        ("back", "first a b s[0] s[1] s[2] last"),
    ):
        assert (await move({"position": end})).status_code == 200
        assert " ".join(await listed(api, "?status=queued")) == order
    if by == "update":
        for place, order in (
            ({"before": "b"}, "first a s[0] s[1] s[2] b last"),
            ({"after": "b"}, "first a b s[0] s[1] s[2] last"),
        ):
            assert (await move(place)).status_code == 200
            assert " ".join(await listed(api, "?status=queued")) == order
        refused(await move({"position": 2}), 400, "invalid_request")
        refused(await move({"before": "last"}), 404, "job_not_found")
    await api.put(f"/types/{TYPE}", json={"own_order": False})
    answer = (await move({"position": "front"})).json()
    assert (answer.get("code") or next(iter(answer["data"]["refused"]))) == "forbidden"
    assert await audit(broker.runner.client, TYPE) == []


async def test_an_operator_is_told_to_say_whose_job_it_means(api: httpx.AsyncClient) -> None:
    """Where names are per owner, each call without owner_id says so, and with it finds the job."""
    await api.put(f"/types/{TYPE}", json={"names": "per_owner"})
    await submit(api, "y", "d")
    path, whose = f"/v1/{TYPE}/d", {"owner_id": "y"}
    sentence = "names of vm are per owner: give owner_id to say whose job it is"
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", path, None),
        ("GET", f"{path}/explain", None),
        ("GET", f"{path}/attempts", None),
        ("GET", f"/v1/{TYPE}/d[*]", None),
        ("POST", path, {"priority": 1}),
        ("POST", path, {"expected": 60}),
        ("POST", f"/types/{TYPE}/what-if", {"request_id": "d", "position": "front"}),
        ("POST", path, {"status": "done"}),
        ("DELETE", path, None),
    ]
    for method, where, body in calls:
        expected = (409, "not_waiting") if where.endswith("what-if") else (404, "job_not_found")
        refused(await api.request(method, where, json=body), *expected, sentence)
    action = {"action": "withdraw", "request_ids": ["d"], "dry_run": True}
    answer = (await api.post(f"/types/{TYPE}/actions", json=action)).json()["data"]
    assert sentence in answer["refusals"][0]["error"]
    answer = (await api.post(f"/types/{TYPE}/actions", json=action, params=whose)).json()["data"]
    assert answer["matched"] == 1
    for method, where, body in calls:
        if not where.endswith("[*]"):
            found = await api.request(method, where, json=body, params=whose)
            assert found.is_success, (where, found.text)
    for name, who in (("d", "other"), ("d?owner_id=x", "operator"), ("d", "y")):
        answer = await api.get(f"/v1/{TYPE}/{name}", headers=of(who))
        refused(answer, 404, answer.json()["code"])
        assert "per owner" not in answer.json()["error"]
