"""Every type in one row: what a page about all of them reads in one call."""

from __future__ import annotations

import httpx

from rq_broker.admission.granter import Granter
from rq_broker.api import create_app
from rq_broker.domain.identity import Identity, Role
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests import making
from tests.api.conftest import submit
from tests.api.tenants import WhoHeader, client


async def test_a_row_tells_jobs_capacity_grants_and_trouble(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """One call tells of each type what waits, is granted, is held, and what is wrong with it."""
    await making.bring(broker, Status.RUNNING, "r", "vm")
    await submit(api, "waits")
    await api.patch("/types/虛擬機", json={"paused": True})
    answer = (await api.get("/types/")).json()
    vm, paused = answer["data"]
    assert (vm["name"], vm["paused"], vm["grants"]) == ("vm", False, 1)
    assert (vm["counts"]["queued"], vm["counts"]["running"]) == (1, 1)
    assert vm["oldest_wait_seconds"] >= 0
    assert vm["totals"]["capacity"] == {"VCPU": 64}
    assert vm["totals"]["held"]["VCPU"] > 0
    assert vm["trouble"]["unserved"] == "no notifier serves this type"
    assert vm["trouble"]["no_host"] is False
    assert (paused["name"], paused["paused"]) == ("虛擬機", True)
    assert answer["unread"] == 0


async def test_a_row_tells_what_is_kept_of_what_is_free(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Kept is what is free now of what a reservation will take; nothing once its job left."""
    await api.patch("/types/vm", json={"patience": 0})
    await making.bring(broker, Status.RUNNING, "r", "vm")
    await submit(api, "big", data={"instances": [{"VCPU": 64}]})
    granter = Granter(broker, "vm")
    for kept in ({"VCPU": 63}, {}):  # one of the 64 is held
        await granter.run_once()
        (row,) = (await api.get("/types")).json()["data"]
        assert (row["kept"], row["totals"]["free"]) == (kept, {"VCPU": 63})
        await api.delete("/v1/vm/big")


async def test_a_client_reads_no_trouble(broker: Broker) -> None:
    """Who is limited to owners sees counts and sums, and nothing of sources and receivers."""
    await making.submit(broker)
    who = WhoHeader(client("b", "b"), Identity("v", Role.VIEWER))
    transport = httpx.ASGITransport(create_app(broker, authenticators=[who]))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        rows = {
            name: (await api.get("/types", headers={"X-Who": name})).json()["data"][0]
            for name in ("b", "v")
        }
    assert "trouble" in rows["v"]
    assert "trouble" not in rows["b"]
    assert rows["b"]["counts"]["queued"] == 1
