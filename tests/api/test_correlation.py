"""X-Request-ID, traceparent and tracestate of a submit: kept with its job, sent on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import submission
from tests.couriers import answering, deliver_once
from tests.making import TYPE, grant, publish

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GIVEN = {
    "X-Request-ID": "r" * 128,
    "traceparent": PARENT,
    "tracestate": f"a={'1' * 90},b=2",
}
NAMES = {name.lower() for name in GIVEN}


async def _callback_of(
    api: httpx.AsyncClient,
    broker: Broker,
    slots: asyncio.Semaphore,
    headers: Mapping[str, str],
    in_bulk: bool = False,
    **body: object,
) -> Mapping[str, str]:
    """Submit with these headers; return those of them that the callback of the job carries."""
    callback = body.pop("callback", "http://x/d")
    sent = submission("d", callback=callback, data={"instances": [{"VCPU": 1}]}, **body)
    if in_bulk:
        answer = await api.post(f"/types/{TYPE}/jobs", json={"jobs": [sent]}, headers=headers)
    else:
        answer = await api.post(f"/v1/{TYPE}", json=sent, headers=headers)
    assert answer.is_success, answer.text
    await publish(broker)
    (job,) = (await broker.page(TYPE)).jobs
    wanted = await broker.shape(TYPE, job.shape)
    assert await grant(broker, job, wanted)
    sender = answering()
    await deliver_once(broker, sender, slots)
    return {name: value for name, value in sender.headers[0].items() if name.lower() in NAMES}


@pytest.mark.parametrize("way", ["alone", "array", "bulk"])
async def test_a_callback_carries_what_the_submit_said(
    api: httpx.AsyncClient,
    broker: Broker,
    client: Redis,
    slots: asyncio.Semaphore,
    way: str,
) -> None:
    """All three are sent on as they came, however a job was submitted, and the audit is clean."""
    array = {"count": 1, "callback": "http://x/{n}"} if way == "array" else {}
    carried = await _callback_of(api, broker, slots, GIVEN, in_bulk=way == "bulk", **array)
    assert carried == GIVEN
    assert await audit(client, TYPE) == []


async def test_a_submit_without_the_headers_costs_nothing(
    api: httpx.AsyncClient, broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Its job has not a field more, and its callback no header, though the answer has an ID."""
    malformed = {"X-Request-ID": "not one", "traceparent": "00-1", "tracestate": "a=1"}
    assert await _callback_of(api, broker, slots, malformed) == {}
    fields = await client.hkeys(Keys(TYPE).of("job", "d"))
    assert not [field for field in fields if str(field).startswith(("http_request", "trace"))]


async def test_a_repeated_submit_may_have_another_id(api: httpx.AsyncClient) -> None:
    """A retry comes with a new ID and is the same submit still; the first one's ID is kept."""
    key = {"Idempotency-Key": "k"}
    first = await api.post("/v1/vm", json=submission(), headers={**key, "X-Request-ID": "r-1"})
    again = await api.post("/v1/vm", json=submission(), headers={**key, "X-Request-ID": "r-2"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] == "r-2"
