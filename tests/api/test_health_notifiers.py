"""What /readyz tells of notifiers that do not fit this API, or the jobs that are there."""

from __future__ import annotations

import json

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker
from rq_broker.store.keys import CONTRACT, NOTIFIERS


@pytest.mark.parametrize(
    ("reported", "is_told"),
    [
        (None, False),
        ("--callback-allow 127.0.0.0/8,hooks.lab --callback-ports 80,443", False),
        ("", True),
        ("--callback-allow 127.0.0.0/8", True),
    ],
)
async def test_readiness_names_a_notifier_that_calls_elsewhere(
    broker: Broker, reported: str | None, is_told: bool
) -> None:
    """It tells if callbacks that this API accepts are refused by a notifier, or the reverse."""
    egress = Egress.of(allow=["hooks.lab", "127.0.0.0/8"], ports=[443, 80])
    await broker.report_notifier("n1", callbacks=reported)
    transport = httpx.ASGITransport(create_app(broker, egress=egress))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        trouble = (await api.get("/readyz")).json()["data"]["trouble"]
    assert len(trouble) == is_told
    if is_told:
        assert "notifier n1" in trouble[0]
        assert "--callback-allow 127.0.0.0/8,hooks.lab --callback-ports 80,443" in trouble[0]


@pytest.mark.parametrize(("contract", "is_told"), [(2, True), (4, True), (CONTRACT, False)])
async def test_readiness_names_a_notifier_of_an_older_contract(
    api: httpx.AsyncClient, broker: Broker, client: Redis, contract: int, *, is_told: bool
) -> None:
    """It tells of one that was started while jobs are there that it would misread."""
    await broker.report_notifier("new")
    now = round(await broker.runner.now() * 1000)
    report = {"reported": now, "types": [], "contract": contract}
    if contract == 2:  # notifiers did not tell theirs then
        del report["contract"]
    await client.hset(NOTIFIERS, "old", json.dumps(report))
    trouble = (await api.get("/readyz")).json()["data"]["trouble"]
    assert [f"old knows version {contract}" in text for text in trouble] == [True] * is_told
