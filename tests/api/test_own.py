"""The rules row by row: what a client or a viewer may do with, and sees of, jobs and types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.delivery.outcome import FORBIDDEN_ADDRESS
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from tests import making
from tests.api.conftest import BASE, contract, listed, refused, submission
from tests.api.tenants import WhoHeader, client
from tests.making import TYPE, claim_one, grant_to, publish, settle

WHO = WhoHeader(
    client("y", "y"),
    client("y and z", "y", "z"),
    client("other", "x"),
    client("named", "y", callback_hosts=frozenset({"hooks.test", "*.lab.test", "10.1.0.0/16"})),
    Identity("named *", Role.CLIENT, frozenset({"*"})),
    Identity("viewer", Role.VIEWER),
    Identity("viewer of y", Role.VIEWER, frozenset({"y"})),
    Identity("viewer of vm", Role.VIEWER, types=frozenset({TYPE})),
    Identity("operator", Role.OPERATOR),
    Identity("admin", Role.ADMIN),
)
KEYS = [f"whsec_{'A' * 32}"]


@pytest.fixture
def app(broker: Broker) -> Starlette:
    return create_app(broker, callback_base=BASE, authenticators=[WHO])


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with operator_client(app, TYPE, "hidden") as operator:
        yield operator


@asynccontextmanager
async def operator_client(app: Starlette, *types: str) -> AsyncIterator[httpx.AsyncClient]:
    """Make types, and give a client of the operator whose answers are checked by the document."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api.test", headers=of("operator")
    ) as operator:
        document = (await operator.get("/openapi.json")).json()
        for type_ in types:
            await operator.put(f"/types/{type_}", json={}, headers=of("admin"))
        operator.event_hooks = {"response": [contract(document)]}
        yield operator


def of(who: str) -> dict[str, str]:
    return {"X-Who": who}


async def submit(
    api: httpx.AsyncClient, who: str, request_id: str = "d", **fields: Any
) -> httpx.Response:
    return await api.post(f"/v1/{TYPE}", json=submission(request_id, **fields), headers=of(who))


# Submits


async def test_the_owner_comes_from_the_credential(api: httpx.AsyncClient) -> None:
    """A client submits for its own owners only; an operator on behalf of any."""
    refused(await submit(api, "y", owner_id="z"), 403, "forbidden", "does not act for")
    assert (await submit(api, "y and z", owner_id="z")).status_code == 201
    assert (await submit(api, "operator", "e", owner_id="x")).status_code == 201


async def test_a_client_is_limited_in_what_it_requeues(api: httpx.AsyncClient) -> None:
    """A client that ends jobs to submit others may not have all of them wait, one by one or by an
    action; the operator may."""
    limits = {"queue_limits": {"*": {"jobs": 1}}}
    await api.put(f"/types/{TYPE}", json=limits, headers=of("admin"))
    for name in ("a", "b"):
        assert (await submit(api, "y", name)).status_code == 201
        await api.post(f"/v1/{TYPE}/{name}", json={"status": "done"}, headers=of("y"))
    assert (await submit(api, "y", "c")).status_code == 201
    requeue = {"status": "queued"}
    answer = await api.post(f"/v1/{TYPE}/a", json=requeue, headers=of("y"))
    refused(answer, 429, "queue_full", "as many waiting jobs as queue_limits allows, 1")
    for whose in ({"request_ids": ["a", "b"]}, {"filter": {"status": "done"}}):
        answer = await api.post(
            f"/types/{TYPE}/actions", json={"action": "requeue", **whose}, headers=of("y")
        )
        view = answer.json()["data"]
        assert (view["changed"], view["refused"]) == (0, {"queue_full": 2})
    assert (await api.post(f"/v1/{TYPE}/a", json=requeue)).is_success


async def test_a_client_gives_no_priority(api: httpx.AsyncClient) -> None:
    """A priority at submit would pass the jobs of others: it is for operators."""
    refused(await submit(api, "y", priority=-5), 403, "forbidden", "priority:")
    assert (await submit(api, "y", priority=None)).status_code == 201
    assert (await submit(api, "operator", "e", priority=-5)).status_code == 201


@pytest.mark.parametrize(
    ("callback", "is_allowed"),
    [
        ("http://hooks.test/x", True),
        ("https://HOOKS.test:8443/x", True),
        ("http://vm7.lab.test/x", True),
        ("http://10.1.2.3/x", True),
        ("http://[::ffff:10.1.2.3]/x", True),
        ("http://10.2.2.3/x", False),
        ("http://[::ffff:10.2.2.3]/x", False),
        ("http://lab.test/x", False),
        ("http://hooks.test.evil.test/x", False),
        ("http://hooks.test@evil.test/x", False),
        ("relative", False),
    ],
)
async def test_callbacks_go_to_the_hosts_of_the_identity(
    api: httpx.AsyncClient, callback: str, is_allowed: bool
) -> None:
    """A callback to a host that its callback_hosts do not list is refused, in a what-if too."""
    answer = await submit(api, "named", callback=callback)
    body = {"data": {}, "callback": callback}
    imagined = await api.post(f"/types/{TYPE}/what-if", json=body, headers=of("named"))
    for one in (answer, imagined):
        if is_allowed:
            assert one.is_success
        else:
            refused(one, 400, "callback_forbidden", "callback")
    assert (await submit(api, "y", "free", callback="http://any.test/x")).status_code == 201


async def test_callback_hosts_do_not_bind_jobs_without_callback(api: httpx.AsyncClient) -> None:
    """Whoever may be called at some hosts only may wait without a callback, as a what-if tells."""
    assert (await submit(api, "named", callback=None)).status_code == 201
    path = f"/types/{TYPE}/what-if"
    assert (await api.post(path, json={"data": {}}, headers=of("named"))).is_success


async def test_a_what_if_is_of_an_own_owner(api: httpx.AsyncClient) -> None:
    """Without an owner it is the only one of the client's; of several, one is to be named."""
    path, body = f"/types/{TYPE}/what-if", {"data": {"instances": [{"VCPU": 2}]}}
    await api.put(f"/types/{TYPE}", json={"limits": {"y": {"VCPU": 1}}})
    await api.put(f"/types/{TYPE}/hosts/h1", json={"capacity": {"VCPU": 8}})
    answer = await api.post(path, json=body, headers=of("y"))
    assert "its owner y may hold 1" in answer.json()["data"]["impossible"]
    answer = await api.post(path, json=body, headers=of("y and z"))
    refused(answer, 400, "invalid_request", "acts for the owners y, z, so name one")
    answer = await api.post(path, json={**body, "owner_id": "z"}, headers=of("y and z"))
    assert answer.json()["data"]["impossible"] is None
    answer = await api.post(path, json={**body, "owner_id": "x"}, headers=of("y"))
    refused(answer, 403, "forbidden")


# Jobs


async def test_a_client_works_on_its_own_jobs(api: httpx.AsyncClient) -> None:
    """Lists, reads, moves and deletes are of own jobs; the operator's are of all."""
    for name, owner in (("a", "y"), ("b", "x"), ("c", "y"), ("e", "z")):
        await submit(api, "operator", name, owner_id=owner)
    own = {"y": ["a", "c"], "y and z": ["a", "c", "e"], "operator": ["a", "b", "c", "e"]}
    for who, names in own.items():
        for query in ("", "?limit=2", "?status=queued", "?eta=1"):
            answer = await api.get(f"/v1/{TYPE}/{query}", headers=of(who))
            found = [job["RequestID"] for job in answer.json()["data"]]
            assert found == (names[:2] if "limit" in query else names)
    answer = await api.post(f"/v1/{TYPE}/c", json={"position": "front"}, headers=of("y"))
    assert answer.is_success
    assert await listed(api) == ["c", "b", "a", "e"]
    answer = await api.post(f"/v1/{TYPE}/a", json={"priority": -1}, headers=of("y"))
    assert answer.is_success
    assert await listed(api) == ["a", "b", "c", "e"]
    await api.put(f"/types/{TYPE}", json={"own_order": False})
    answer = await api.post(f"/v1/{TYPE}/c", json={"position": "front"}, headers=of("y"))
    refused(answer, 403, "forbidden")
    refused(await api.delete(f"/v1/{TYPE}/b", headers=of("y")), 404, "job_not_found")
    assert (await api.delete(f"/v1/{TYPE}/a", headers=of("y"))).is_success
    again = await submit(api, "y", "c")
    refused(again, 409, "duplicate_request_id")
    assert again.json()["same"] is True


@pytest.mark.parametrize("names", ["per_type", "per_owner"])
async def test_a_client_works_on_its_own_arrays(
    api: httpx.AsyncClient, broker: Broker, names: str
) -> None:
    """Read, listed, explained and withdrawn as one by its owner; for others there is none."""
    await api.put(f"/types/{TYPE}", json={"names": names})
    array = {"callback": "http://x/s-{n}", "count": 2}
    assert (await submit(api, "y", "s", **array)).status_code == 201
    path, query = f"/v1/{TYPE}/s[*]", f"/v1/{TYPE}/?request_id=s[*]"
    for who in ("other", "y"):
        answers = [await api.get(path + part, headers=of(who)) for part in ("", "/explain")]
        page = (await api.get(query, headers=of(who))).json()["data"]
        if who == "other":
            for answer in (*answers, await api.delete(path, headers=of(who))):
                refused(answer, 404, "job_not_found")
            assert page == []
        else:
            read, explained = [answer.json()["data"] for answer in answers]
            assert (read["Waiting"], read["Counts"]["queued"]) == ("s[0]", 2)
            assert read["Reason"]
            assert explained["explains"] == "s[0]"
            assert [job["RequestID"] for job in page] == ["s[0]", "s[1]"]
    assert (await api.delete(path, headers=of("y"))).is_success
    refused(await api.get(path, headers=of("y")), 404, "job_not_found")
    assert await audit(broker.runner.client, TYPE) == []


async def test_a_viewer_sees_neither_callbacks_nor_data(api: httpx.AsyncClient) -> None:
    """Both are emptied wherever a job is shown, and `Redacted` names them; all else is there."""
    await submit(api, "operator", "a", data={"secret": "s3cret"}, callback="http://cb.test/s3cret")
    await submit(api, "operator", "b", owner_id="x")
    for who, names in (("viewer", ["a", "b"]), ("viewer of y", ["a"])):
        for query in ("", "?limit=9"):
            answer = await api.get(f"/v1/{TYPE}{query}", headers=of(who))
            assert [job["RequestID"] for job in answer.json()["data"]] == names
            assert "s3cret" not in answer.text
        job = (await api.get(f"/v1/{TYPE}/a", headers=of(who))).json()["data"]
        assert (job["Callback"], job["Data"], job["Redacted"]) == ("", "{}", ["Callback", "Data"])
        assert (job["OwnerID"], job["Status"], job["Position"]) == ("y", "queued", 1)
    refused(await api.get(f"/v1/{TYPE}/b", headers=of("viewer of y")), 404, "job_not_found")
    assert "Redacted" not in (await api.get(f"/v1/{TYPE}/a")).json()["data"]


@pytest.mark.parametrize(
    ("cause", "coarse"),
    [
        ("http_204", "delivered"),
        ("http_503", "status"),
        ("redirect", "status"),
        ("timeout", "timeout"),
        ("tls", "tls"),
        *[(word, "refused") for word in ("dns", "unreachable", "connection_refused", "protocol")],
        *[(word, "refused") for word in ("connection_reset", "forbidden")],
    ],
)
async def test_attempts_are_no_port_scanner(
    api: httpx.AsyncClient, broker: Broker, cause: str, coarse: str
) -> None:
    """To clients, and viewers of their owner, a cause is one of a few, without milliseconds."""
    await publish(broker)
    await grant_to(broker, "http://10.0.0.7:22", "d", "y")
    await settle(broker, await claim_one(broker), Settlement("failed", cause, 7))
    answer = await api.get(f"/v1/{TYPE}/d/attempts")
    (exact,) = answer.json()["data"]
    assert (exact["cause"], exact["milliseconds"]) == (cause, 7)
    for who in ("y", "viewer of y"):
        (attempt,) = (await api.get(f"/v1/{TYPE}/d/attempts", headers=of(who))).json()["data"]
        assert (attempt["cause"], attempt["milliseconds"]) == (coarse, None)
        assert attempt["time"] == f"{exact['time'][:19]}.000000Z"
        assert (await api.get(f"/v1/{TYPE}/d", headers=of(who))).json()["data"]["Error"] == coarse
        answer = await api.get(f"/v1/{TYPE}", headers=of(who))
        assert answer.json()["data"][0]["Error"] == coarse
    assert (await api.get(f"/v1/{TYPE}/d")).json()["data"]["Error"] == cause


@pytest.mark.parametrize(
    ("error", "coarse"),
    [(FORBIDDEN_ADDRESS, "refused"), ("the notifier does not call it: loopback", None)],
)
async def test_a_client_reads_why_its_url_is_closed_but_not_where_its_host_leads(
    api: httpx.AsyncClient, broker: Broker, error: str, coarse: str | None
) -> None:
    """What a submit would say of the URL is told to its owner; what the look-up showed is not."""
    await publish(broker)
    await grant_to(broker, "http://lab.test", "d", "y")
    await settle(broker, await claim_one(broker), Settlement("failed", "forbidden", error=error))
    assert (await api.get(f"/v1/{TYPE}/d")).json()["data"]["Error"] == error
    told = (await api.get(f"/v1/{TYPE}/d", headers=of("y"))).json()["data"]["Error"]
    assert told == (coarse or error)


async def test_what_a_client_says_of_its_error_stays(api: httpx.AsyncClient) -> None:
    """An error that the client gave is shown as it is."""
    await submit(api, "y")
    body = {"status": "error", "error": "no disk: 503"}
    await api.post(f"/v1/{TYPE}/d", json=body, headers=of("y"))
    job = (await api.get(f"/v1/{TYPE}/d", headers=of("y"))).json()["data"]
    assert job["Error"] == "no disk: 503"


# Types, hosts, destinations, keys


async def test_a_client_sees_the_sums_of_hosts(api: httpx.AsyncClient) -> None:
    """All hosts together, then each aggregate; no host is named, and what is short adds nothing."""
    for name, capacity, used, aggregates in (
        ("h1", 8, 2, ["a"]),
        ("h2", 4, 6, ["a", "b"]),
        ("h3", 1, 0, []),
    ):
        body = {"capacity": {"VCPU": capacity}, "used": {"VCPU": used}, "aggregates": aggregates}
        await api.put(f"/types/{TYPE}/hosts/{name}", json=body)
    answer = await api.get(f"/types/{TYPE}/hosts", headers=of("y"))
    sums = [
        (
            row["aggregate"],
            row["hosts"],
            *(row[key]["VCPU"] for key in ("capacity", "used", "free")),
        )
        for row in answer.json()["data"]
    ]
    assert sums == [
        (None, 3, 13, 8, 7),
        ("a", 2, 12, 8, 6),
        ("b", 1, 4, 6, 0),
    ]
    refused(await api.get(f"/types/{TYPE}/hosts/h1", headers=of("y")), 403, "forbidden")
    assert len((await api.get(f"/types/{TYPE}/hosts")).json()["data"]) == 3
    answer = await api.get("/types/hidden/hosts", headers=of("y"))
    assert answer.json()["data"][0]["hosts"] == 0


async def test_a_job_of_the_owner_that_stands_for_all_can_be_ended(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Nobody submits for `*`, also where the identity has that owner; a job of it that was stored
    before is read, listed, changed and deleted."""
    sentence = "owner_id must not be '*', which stands for every owner"
    for who in ("named *", "admin"):
        answer = await api.post(
            f"/v1/{TYPE}", json=submission("new", owner_id="*"), headers=of(who)
        )
        refused(answer, 400, "invalid_request", sentence)
    answer = await api.post(f"/types/{TYPE}/jobs", json={"jobs": [submission("new", owner_id="*")]})
    assert sentence in answer.text
    for name, who in (("a", "named *"), ("b", "operator")):
        await making.submit(broker, name, owner_id="*")
        answer = await api.get(f"/v1/{TYPE}?owner_id=*", headers=of(who))
        assert [job["RequestID"] for job in answer.json()["data"]] == [name]
        assert (await api.get(f"/v1/{TYPE}/{name}", headers=of(who))).is_success
        answer = await api.post(f"/v1/{TYPE}/{name}", json={"status": "done"}, headers=of(who))
        assert answer.is_success
        assert (await api.delete(f"/v1/{TYPE}/{name}", headers=of(who))).is_success


async def test_a_client_sees_its_own_limits_keys_and_receivers(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Limits and weights are its own and those of everybody; keys and destinations its own."""
    share = {"by": "owner", "half_life": 9, "weights": {"x": 2, "y": 3, "*": 4}}
    limits = {"x": {"VCPU": 1}, "y": {"VCPU": 2}, "*": {"VCPU": 3}}
    waiting = {"x": {"jobs": 1}, "y": {"jobs": 2}, "*": {"jobs": 3}}
    await api.put(
        f"/types/{TYPE}", json={"limits": limits, "share": share, "queue_limits": waiting}
    )
    policy = (await api.get(f"/types/{TYPE}", headers=of("y"))).json()["data"]["policy"]
    assert policy["limits"] == {"y": {"VCPU": 2}, "*": {"VCPU": 3}}
    assert policy["queue_limits"] == {"y": {"jobs": 2}, "*": {"jobs": 3}}
    assert policy["share"]["weights"] == {"y": 3, "*": 4}
    assert (await api.get(f"/types/{TYPE}")).json()["data"]["policy"]["limits"] == limits
    path = f"/types/{TYPE}/keys"
    for who, owner in (("admin", "*"), ("operator", "x"), ("y", "y")):
        answer = await api.put(path, json={"owner": owner, "keys": KEYS}, headers=of(who))
        assert answer.is_success
    for who, owner in (("operator", "*"), ("y", "*"), ("named *", "*"), ("y", "x")):
        answer = await api.put(path, json={"owner": owner, "keys": []}, headers=of(who))
        refused(answer, 403, "forbidden")
    assert [*(await api.get(path, headers=of("y"))).json()["data"]] == ["y"]
    assert {*(await api.get(path)).json()["data"]} == {"*", "x", "y"}
    await publish(broker)
    for owner in ("x", "y"):
        await grant_to(broker, f"http://{owner}.test:80", f"of {owner}", owner)
    answer = await api.get(f"/types/{TYPE}/destinations", headers=of("y"))
    names = [one["destination"] for one in answer.json()["data"]["destinations"]]
    assert names == ["http://y.test:80"]


async def test_types_that_are_not_its_own_are_not_listed(api: httpx.AsyncClient) -> None:
    """The list of types has those that an identity may use, and those of all for one without."""
    for type_ in (TYPE, "hidden"):
        await api.post(f"/v1/{type_}", json=submission())
    assert [*(await api.get("/v1", headers=of("viewer of vm"))).json()["data"]] == [TYPE]
    assert {*(await api.get("/v1")).json()["data"]} == {TYPE, "hidden"}
