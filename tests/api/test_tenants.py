"""Two tenants who try to see each other through every route, header and error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.domain.arrays import Template
from rq_broker.domain.identity import ACTOR, Actor, Identity, Role
from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from tests.api.conftest import refused
from tests.api.tenants import WhoHeader, client
from tests.api.tries import (
    ABSENT,
    ARRAY,
    HOST,
    JOBS,
    KEY,
    MARK,
    OTHER,
    OWN,
    OWN_JOBS,
    Try,
    readings,
    submission,
    tries,
)
from tests.making import (
    TYPE,
    array_submission,
    claim_one,
    grant,
    head_of,
    publish,
    settle,
    shape,
    submit,
)

POLICIES: dict[str, dict[str, object]] = {
    "patience": {"patience": 0},
    "strict order": {"strict_order": True},
    "shares": {"share": {"by": "owner", "half_life": 60, "weights": {OTHER: 9, OWN: 1}}},
    "names per owner": {"names": "per_owner", "patience": 0},
}
WHO = WhoHeader(
    client("b", OWN),
    client("b and c", OWN, "owner-c"),
    client("other", OTHER),
    Identity("viewer of b", Role.VIEWER, frozenset({OWN})),
    Identity("operator of b", Role.OPERATOR, frozenset({OWN})),
    Identity("operator", Role.OPERATOR),
    Identity("viewer", Role.VIEWER),
)


async def _submit(broker: Broker, name: str, vcpus: int, **fields: Any) -> Any:
    owner = OTHER if MARK in name else OWN
    host = HOST if MARK in name else "b.test"
    wanted = shape({"VCPU": vcpus}, owner=owner, destination=f"http://{host}:80")
    callback = f"http://{host}/{name}"
    data = f'{{"secret":"{name}"}}'
    job = await submit(
        broker, name, owner_id=owner, callback=callback, shape=wanted, data=data, **fields
    )
    return await broker.read(TYPE, name, [owner]), wanted, job


async def _run(broker: Broker, name: str, *, to: Status = Status.RUNNING, **fields: Any) -> None:
    job, wanted, _ = await _submit(broker, name, 1)
    assert await grant(broker, job, wanted)
    if to is not Status.GRANTED:
        await broker.transition(TYPE, job.request_id, to, **fields)


async def make_scene(broker: Broker, **policy: object) -> None:
    """Give both tenants jobs of every status, keys and limits; own jobs wait behind the other's."""
    limits = {OTHER: {"VCPU": 60}, OWN: {"VCPU": 50}, "*": {"VCPU": 40}}
    await broker.set_policy(TYPE, {"limits": limits, **policy})
    await broker.report_notifier("n")
    await publish(broker, "h1", VCPU=6)
    for owner in (OTHER, OWN, "*"):
        await broker.set_keys(TYPE, owner, [f"whsec_{'A' * 32}"])
    passed, _, _ = await _submit(broker, "b-second", 4)
    await broker.note(TYPE, [], [head_of(passed)])
    for cause in ("done", "failed"):
        name = f"{cause}-{MARK}"
        await _run(broker, name, to=Status.GRANTED)
        delivery = await claim_one(broker)
        failure = Settlement("failed", "http_503", 7, health="unhealthy")
        await settle(broker, delivery, Settlement("delivered") if cause == "done" else failure)
    await broker.transition(TYPE, "done-zq7x", Status.DONE, [OTHER])
    await _run(broker, f"running-{MARK}", servers=[f"{MARK}-server"])
    await _run(broker, f"granted-{MARK}", to=Status.GRANTED)
    await _run(broker, "b-running", servers=["b-server"])
    await _run(broker, "b-done", to=Status.DONE)
    for name in (f"waiting-{MARK}", f"second-{MARK}"):
        await _submit(broker, name, 5)
    await _submit(broker, f"beside-{MARK}", 1, terms=Terms(after=(f"waiting-{MARK}",)))
    callback = Template((f"http://{HOST}/{ARRAY}/", ""))
    wanted = shape({"VCPU": 5}, owner=OTHER, destination=f"http://{HOST}:80")
    array = array_submission(2, name=ARRAY, owner_id=OTHER, callback=callback, shapes=(wanted,))
    await broker.submit_array(TYPE, array)
    await _submit(broker, f"gone-{MARK}", 1)
    await broker.withdraw(TYPE, f"gone-{MARK}", KEY, [OTHER])
    await _submit(broker, "b-waiting", 1)


@pytest.fixture
async def api(request: pytest.FixtureRequest, broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the API in whose type both tenants have jobs, under a policy."""
    acting = ACTOR.set(Actor(f"token:{MARK}", "10.9.9.9"))  # so that the audit log has lines, too
    await make_scene(broker, **POLICIES[request.param])
    ACTOR.reset(acting)
    broker.events.close()  # so that streams end behind what there is
    app = create_app(broker, callback_base="http://base.test/", authenticators=[WHO], inbox=True)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client


async def ask(api: httpx.AsyncClient, who: str, one: Try) -> httpx.Response:
    """Make one request."""
    headers = {"X-Who": who, "X-Request-ID": "try", **one.headers}
    return await api.request(one.method, one.path, json=one.body, headers=headers)


def shown(answer: httpx.Response) -> str:
    """Return all that an answer says."""
    headers = [f"{name}: {value}" for name, value in answer.headers.multi_items()]
    return "\n".join([str(answer.status_code), *headers, answer.text])


def is_named_by(one: Try) -> bool:
    return MARK in repr(one)


def scenes(*pairs: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test in some scenes: each has a store, and a policy of the type."""
    return pytest.mark.parametrize(("client", "api"), pairs, indirect=True)


BOTH = scenes(("fake", "patience"), ("real", "names per owner"))
EACH = scenes(
    ("fake", "patience"), ("real", "strict order"), ("real", "shares"), ("real", "names per owner")
)


@BOTH
async def test_what_is_of_another_is_as_what_does_not_exist(
    api: httpx.AsyncClient, client: Redis
) -> None:
    """Hundreds of tries get the answers that they get of names nobody has; nothing changes."""
    before = await _of_the_other(client)
    table = list(tries(TYPE))
    assert len(table) > 500
    for one in table:
        assert is_named_by(one), one
        told, untold = await ask(api, "b", one), await ask(api, "b", one.of_nothing())
        assert shown(told).replace(MARK, ABSENT) == shown(untold), one
    assert await _of_the_other(client) == before
    assert await audit(client, TYPE) == []


async def _of_the_other(redis: Redis) -> dict[str, Any]:
    names = [name async for name in redis.scan_iter(match=f"*:job:*{MARK}*")]
    assert len(names) == len(JOBS) - 1 + 2
    return {name: await redis.hgetall(name) for name in names}


@EACH
async def test_no_answer_names_anything_of_another(api: httpx.AsyncClient) -> None:
    """Own jobs' reasons, explanations, what-ifs and all else that a client reads have no mark."""
    assert await _marked(api, "b", readings(TYPE)) == []
    for who in ("viewer of b", "operator of b"):
        explanations = [one for one in readings(TYPE) if "b-" in one.path and one.method == "GET"]
        assert await _marked(api, who, explanations) == []
    told = await _marked(api, "operator", readings(TYPE))
    assert len(told) > 20  # an operator reads the names, so there was something to hide


async def _marked(api: httpx.AsyncClient, who: str, table: Iterable[Try]) -> list[Try]:
    """Return the requests whose answers say more of the mark than they were asked."""
    return [
        one for one in table if MARK in shown(await ask(api, who, one)) and not is_named_by(one)
    ]


@EACH
async def test_what_another_has_shows_as_sizes_and_counts(api: httpx.AsyncClient) -> None:
    """An explanation keeps amounts, hosts and how many there are, without whose they are."""
    answer = await api.get(f"/v1/{TYPE}/b-second/explain", headers={"X-Who": "b"})
    explained = answer.json()["data"]
    others = [holder for holder in explained["holders"] if holder["request_id"] is None]
    assert others
    assert all(holder["owner_id"] is None and holder["amount"] == 1 for holder in others)
    own = [holder for holder in explained["holders"] if holder["request_id"]]
    assert [(holder["request_id"], holder["owner_id"]) for holder in own] == [("b-running", OWN)]
    assert explained["explains"] == "b-second"
    assert explained["passed_by"][:1] == ["b-running"]
    assert explained["passed_by_others"] >= 2
    answer = await api.post(
        f"/types/{TYPE}/what-if",
        json={"request_id": "b-waiting", "position": "front"},
        headers={"X-Who": "b"},
    )
    names = [move["request_id"] for move in answer.json()["data"]["moves"]]
    assert None in names
    assert {name for name in names if name} <= set(OWN_JOBS)


async def test_a_taken_name_tells_nothing_more(broker: Broker) -> None:
    """A name, callback or server of another's job is taken, whatever has become of the job."""
    await make_scene(broker)
    app = create_app(broker, authenticators=[WHO])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        for code, bodies in (
            ("duplicate_request_id", [submission(job) for job in JOBS[:-1]]),
            (
                "duplicate_callback",
                [submission("b-new", callback=f"http://{HOST}/{job}") for job in JOBS[:-1]],
            ),
        ):
            answers = set()
            for body in bodies:
                for headers in ({}, {"Idempotency-Key": KEY}):
                    one = Try("POST", f"/v1/{TYPE}", body, headers)
                    answer = await ask(api, "b", one)
                    refused(answer, 409, code)
                    assert answer.json().keys() == {"error", "code", "ok"}
                    answers.add(shown(answer))
            assert len(answers) == 1
            assert MARK not in answers.pop()
        servers = {"status": "running", "servers": [f"{MARK}-server"]}
        answer = await ask(api, "b", Try("POST", f"/v1/{TYPE}/b-running", servers))
        refused(answer, 409, "duplicate_server", "which another job has named")
        assert "running-" not in answer.text


@scenes(("fake", "names per owner"), ("real", "names per owner"))
async def test_names_of_another_are_free_where_they_are_per_owner(api: httpx.AsyncClient) -> None:
    """Each name and callback of the other is taken by the tenant as well, and means its own job."""
    for job in JOBS:
        body = submission(job, callback=f"http://{HOST}/{job}")
        for _ in range(2):
            answer = await ask(
                api, "b", Try("POST", f"/v1/{TYPE}", body, {"Idempotency-Key": KEY + job})
            )
            assert answer.status_code == 201, answer.text
        assert answer.json()["data"]["RequestID"] == job
        for who, owner in (("b", OWN), ("other", OTHER)):
            answer = await api.get(f"/v1/{TYPE}/{job}", headers={"X-Who": who})
            assert answer.is_success == (owner == OWN or job != JOBS[-1])
            if answer.is_success:
                read = answer.json()["data"]
                assert (read["RequestID"], read["OwnerID"]) == (job, owner)
        answer = await api.get(f"/v1/{TYPE}/{job}?owner_id={OWN}", headers={"X-Who": "operator"})
        assert answer.json()["data"]["OwnerID"] == OWN
        refused(
            await api.get(f"/v1/{TYPE}/{job}", headers={"X-Who": "operator"}), 404, "job_not_found"
        )
        answer = await api.get(f"/v1/{TYPE}/{job}", headers={"X-Who": "b and c"})
        refused(answer, 400, "invalid_request", "give owner_id")
        answer = await api.get(f"/v1/{TYPE}/{job}?owner_id={OWN}", headers={"X-Who": "b and c"})
        assert answer.is_success
