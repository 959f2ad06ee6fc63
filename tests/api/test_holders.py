"""Who holds a host, for whom capacity is kept, and what happened to one job."""

from __future__ import annotations

import httpx
import pytest

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
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
