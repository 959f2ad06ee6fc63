"""Attempts and destinations over HTTP: reading, resetting, requeueing."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys, member
from tests import making
from tests.api.conftest import BASE, called, fail_destinations, listed, refused, submit
from tests.api.tenants import WhoHeader, client as client_of
from tests.making import claim_one, settle

RETRY = Settlement("retry", "5xx", 12, health="unhealthy")
FAILED = Settlement("failed", "timeout", 10_000, health="unhealthy")


async def test_attempts(api: httpx.AsyncClient, broker: Broker) -> None:
    """Every attempt is listed, oldest first, with its cause and its duration."""
    await submit(api, "waiting")
    assert (await api.get("/v1/vm/waiting/attempts")).json() == {"data": [], "ok": True}
    await called(broker, "h", RETRY)
    await settle(broker, await claim_one(broker), FAILED)
    attempts = (await api.get("/v1/vm/h/attempts/")).json()["data"]
    fence = (await broker.read("vm", "h")).fence
    times = [attempt.pop("time") for attempt in attempts]
    assert times == sorted(times)
    assert attempts == [
        {"fence": fence, "attempt": 1, "cause": "5xx", "milliseconds": 12},
        {"fence": fence, "attempt": 2, "cause": "timeout", "milliseconds": 10_000},
    ]


async def test_why_a_granted_job_does_not_run(broker: Broker) -> None:
    """While its callback fails it says so: how often, why, and when it is tried again. Clients of
    the job get the cause by its class, as everywhere."""
    who = WhoHeader(Identity("op", Role.OPERATOR), client_of("o", "o"))
    app = create_app(broker, callback_base=BASE, authenticators=[who])
    transport = httpx.ASGITransport(app)
    await making.publish(broker)
    await making.grant_to(broker, "http://h:80", "h")
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:

        async def reason(name: str = "op") -> dict[str, Any]:
            answer = await http.get("/v1/vm/h/explain", headers={"X-Who": name})
            found: dict[str, Any] = answer.json()["data"]["reason"]
            return found

        assert await reason() is None
        delivery = await claim_one(broker)
        assert await reason() is None  # the first try
        again = Settlement("retry", "connection_refused", 12, delay=40, health="unhealthy")
        await settle(broker, delivery, again)
        told = await reason()
        until = told.pop("until")
        text = told.pop("text")
        assert 30 < until - await broker.now("vm") <= 40
        assert text.startswith("its callback to http://h:80 failed (connection_refused); the next ")
        assert " try is in " in text
        assert "no notifier serves this type" in text
        assert told == {
            "code": "callback_failing", "destination": "http://h:80", "attempts": 1,
            "cause": "connection_refused", "unserved": {},
        }  # fmt: skip
        assert (await reason("o"))["cause"] == "refused"
        due_now = Keys("vm").of("deliveries"), 1, member(delivery.job.id, "h")
        await broker.runner.command("ZADD", *due_now)
        second = await claim_one(broker)
        assert "it is being tried again now" in (await reason())["text"]
        await settle(broker, second, Settlement("retry", "http_503", 1, delay=40))
        assert "failed 2 times (the last: http_503)" in (await reason())["text"]


async def test_attempts_of_an_unknown_job(api: httpx.AsyncClient) -> None:
    """The attempts of an unknown job are a 404."""
    refused(await api.get("/v1/vm/d/attempts"), 404, "job_not_found")


async def test_destinations(api: httpx.AsyncClient, broker: Broker) -> None:
    """Each destination is listed with its state, and `outage` is true while most of them fail."""
    empty = {"outage": False, "destinations": []}
    assert (await api.get("/types/vm/destinations")).json()["data"] == empty
    await fail_destinations(broker, "a", "b")
    assert not (await api.get("/types/vm/destinations")).json()["data"]["outage"]
    await fail_destinations(broker, "c")
    assert (await api.get("/types/vm/destinations")).json()["data"]["outage"] is True
    await called(broker, "well", Settlement("delivered", "ok", 3, health="healthy"))
    answer = (await api.get("/types/vm/destinations/")).json()["data"]
    closed = {
        "owner": "o",
        "state": "closed",
        "open_seconds": 0.0,
        "asked_seconds": 0.0,
        "in_flight": 0,
        "parked": 0,
    }
    assert sorted(answer["destinations"], key=itemgetter("destination")) == [
        {"destination": "http://a:80", "failures": 1, **closed},
        {"destination": "http://b:80", "failures": 1, **closed},
        {"destination": "http://c:80", "failures": 0, **closed},
        {"destination": "http://well:80", "failures": 0, **closed},
    ]
    assert answer["outage"] is False  # none that answered before fails


async def test_an_open_breaker_is_listed_and_reset(api: httpx.AsyncClient, broker: Broker) -> None:
    """A destination that keeps failing has an open breaker, until a reset closes it."""
    destination = await called(broker, "h", RETRY)
    for _ in range(4):
        await settle(broker, await claim_one(broker), RETRY)
    (row,) = (await api.get("/types/vm/destinations")).json()["data"]["destinations"]
    assert (row["state"], row["failures"]) == ("open", 5)
    assert row["open_seconds"] > 0
    answer = await api.post("/types/vm/destinations/reset", json={"destination": destination})
    assert answer.json() == {"data": {}, "ok": True}
    (row,) = (await api.get("/types/vm/destinations")).json()["data"]["destinations"]
    assert (row["state"], row["failures"], row["open_seconds"]) == ("closed", 0, 0.0)


async def test_resetting_an_unknown_destination(api: httpx.AsyncClient) -> None:
    """Resetting an unknown destination is a 404 that says how destinations are written."""
    for destination in ("http://h:80", "h"):
        answer = await api.post("/types/vm/destinations/reset", json={"destination": destination})
        sentence = f"callback to {destination}; a destination is written scheme://host:port"
        refused(answer, 404, "destination_not_found", sentence)


async def test_requeue(api: httpx.AsyncClient, broker: Broker) -> None:
    """Only the failed jobs of the destination are requeued, and the answer is their number."""
    await fail_destinations(broker, "a", "b")
    requeue = "/types/vm/destinations/requeue"
    answer = await api.post(requeue, json={"destination": "http://a:80"})
    assert answer.json() == {"data": {"requeued": 1}, "ok": True}
    assert (await listed(api, "?status=queued"), await listed(api, "?status=error")) == (
        ["a"],
        ["b"],
    )
    for destination in ("http://a:80", "http://nobody:80"):
        answer = await api.post(requeue, json={"destination": destination})
        assert answer.json()["data"] == {"requeued": 0}


@pytest.mark.parametrize("verb", ["reset", "requeue"])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "destination is required"),
        ({"destination": 5}, "destination must be a string, not 5"),
        ({"destination": "h\n"}, "destination must not contain control characters"),
        ({"destination": "x", "type": "vm"}, 'the field "type" is not known'),
        ([], "the body must be a JSON object"),
    ],
)
async def test_bad_destinations(
    api: httpx.AsyncClient, verb: str, body: object, sentence: str
) -> None:
    """Reset and requeue refuse a malformed body and name the field."""
    answer = await api.post(f"/types/vm/destinations/{verb}", json=body)
    refused(answer, 400, "invalid_request", sentence)
