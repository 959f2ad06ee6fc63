"""Who holds a host, for whom capacity is kept, and what happened to one job."""

from __future__ import annotations

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.event_feed import Feed
from rq_broker.store.keys import Keys
from tests import making
from tests.api.conftest import refused, submit


async def test_a_host_names_who_holds_it(api: httpx.AsyncClient, broker: Broker) -> None:
    """Each job that holds some of a host stands there: since when, until when, and how much."""
    await making.bring(broker, Status.RUNNING, "r", "vm")
    await making.publish(broker, "other", "vm")
    (holder,) = (await api.get("/types/vm/hosts/h1/holders")).json()["data"]
    assert (holder["request_id"], holder["owner_id"], holder["overdue"]) == ("r", "o", False)
    assert holder["ends"] - holder["granted"] == pytest.approx(60)
    assert holder["amounts"]["VCPU"] == 1
    assert (await api.get("/types/vm/hosts/other/holders")).json()["data"] == []
    refused(await api.get("/types/vm/hosts/none/holders"), 404, "host_not_found")


async def test_a_job_that_was_passed_for_long_has_capacity_kept(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """A reservation names its job, its start, and what is kept on which host; before, none is."""
    assert (await api.get("/types/vm/reservations")).json()["data"] == []
    await api.patch("/types/vm", json={"patience": 0})
    await making.bring(broker, Status.RUNNING, "r", "vm")
    await submit(api, "big", data={"instances": [{"VCPU": 64}]})
    (kept,) = (await api.get("/types/vm/reservations")).json()["data"]
    assert (kept["request_id"], kept["hosts"]) == ("big", {"h1": {"VCPU": 64}})
    assert kept["start"] > 0


async def test_a_history_has_every_grant(api: httpx.AsyncClient, broker: Broker) -> None:
    """What happened to a job stands in one list, past its first end, and whether all is there."""
    await making.bring(broker, Status.RUNNING, "r", "vm")
    for status in ("error", "queued"):
        await api.post("/v1/vm/r", json={"status": status})
    await submit(api, "other")
    answer = (await api.get("/v1/vm/r/history")).json()
    words = [event["event"] for event in answer["data"]]
    assert words == ["job.queued", "job.granted", "job.running", "job.error", "job.queued"]
    assert answer["complete"] is True
    refused(await api.get("/v1/vm/none/history"), 404, "job_not_found")


async def _history(api: httpx.AsyncClient, request_id: str) -> tuple[list[str], bool]:
    """Read a job's history: what happened, each of the job itself; and whether it is whole."""
    answer = (await api.get(f"/v1/vm/{request_id}/history")).json()
    assert {event.get("request_id", request_id) for event in answer["data"]} <= {request_id}
    return [event["event"] for event in answer["data"]], answer["complete"]


async def test_each_job_of_an_array_has_its_submit_in_its_history(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """The array's one event tells each job's submit; a move of the array is told once of each."""
    await broker.submit_array("vm", making.array_submission(250, "z"))
    await submit(api, "after[0]")
    for name in ("z[0]", "z[1]", "z[249]", "after[0]"):
        assert await _history(api, name) == (["job.queued"], True)
    (first,) = (await api.get("/v1/vm/z[1]/history")).json()["data"]
    assert (first["from"], first["to"], first["owner_id"]) == (None, "queued", "o")
    assert first["id"] == (await broker.read("vm", "z[1]")).id
    await api.post("/v1/vm/z[0]", json={"priority": 9})
    await broker.withdraw("vm", "z[2]")
    await submit(api, "z[2]", owner_id="o")
    await api.post("/v1/vm/z[*]", json={"priority": 7})
    assert await _history(api, "z[0]") == (["job.queued", "job.reordered", "job.reordered"], True)
    assert await _history(api, "z[200]") == (["job.queued", "job.reordered"], True)
    assert await _history(api, "z[2]") == (["job.queued"], True)


async def test_a_history_is_whole_unless_an_event_of_the_job_is_missing(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """A loss from before the job leaves its history whole; one since, or a trimmed submit, not."""
    events = Keys("vm").of("events")
    await submit(api, "old")
    await client.xadd(events, {"request_id": "", "id": "0", "status": "state_lost"})
    await broker.submit_array("vm", making.array_submission(2, "z"))
    assert await _history(api, "z[1]") == (["job.queued"], True)
    assert await _history(api, "old") == (["job.queued", "lost"], False)
    await client.xtrim(events, maxlen=1, approximate=False)
    assert await _history(api, "z[1]") == (["job.queued"], True)
    assert await _history(api, "old") == ([], False)


async def test_a_history_has_what_was_written_a_moment_ago(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from Redis, not up to where the process has read the stream for its followers."""
    monkeypatch.setattr(Feed, "changed", lambda _: None)
    await submit(api, "first")
    async with broker.events.follow("vm"):
        await submit(api, "d")
        assert await _history(api, "d") == (["job.queued"], True)
