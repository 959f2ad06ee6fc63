"""Types in which jobs wait though they have no host."""

from __future__ import annotations

import httpx

from rq_broker.store.broker import Broker
from tests.making import publish, submit


async def test_jobs_that_wait_where_there_is_no_host_are_trouble(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """A type with jobs and no host is named, as in the row of `GET /types`; not once it is paused,
    has a host, or nothing waits."""
    answers: list[tuple[list[str], bool]] = []

    async def look() -> None:
        found = (await api.get("/readyz")).json()["data"]["trouble"]
        row = next(row for row in (await api.get("/types")).json()["data"] if row["name"] == "gpux")
        answers.append(([text for text in found if "host" in text], row["trouble"]["no_host"]))

    await broker.set_policy("gpux", {"paused": False})
    await look()
    await submit(broker, "d", "gpux")
    await look()
    await submit(broker, "e", "gpuy")
    await look()
    await broker.withdraw("gpuy", "e")
    await broker.set_policy("gpux", {"paused": True})
    await look()
    await broker.set_policy("gpux", {"paused": False})
    await publish(broker, "h1", "gpux")
    await look()
    remedy = "add hosts, or check how it is spelt where jobs are submitted"
    one = f"type gpux has no host, and 1 job waits in it: {remedy}"
    both = f"jobs wait in types that have no host: gpux, gpuy; of each {remedy}"
    assert answers == [([], False), ([one], True), ([both], True), ([], False), ([], False)]
