"""A Redis Cluster that lost most of its primaries serves no slot, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from faulting.topologies import ClusterOfSix
from standins.receivers import receiver, responding

from tests.api_client import ApiClient
from tests.faults.topologies import contradictions, running
from tests.making import TYPE
from tests.processes import Child, Children, until

CODE = "redis_cluster_down"
CALLS = 5


async def test_a_cluster_without_most_primaries(tmp_path: Path, spawn: Children) -> None:
    """Calls get a code and Retry-After, each log two lines, metrics the cause; then all is well."""
    async with (
        running(ClusterOfSix, tmp_path / "servers") as servers,
        receiver(responding(200)) as sink,
    ):
        api, notifier = spawn.api(servers.url), spawn.notifier(servers.url)
        await asyncio.to_thread(api.ready)
        http = ApiClient([api])
        await http.publish({"h1": 4})
        await http.submit(sink, "before", 1)
        await http.until("running", "before")
        primary = await asyncio.to_thread(servers.primary)
        lost = [node for node in await asyncio.to_thread(servers.primaries) if node is not primary]
        for node in lost:
            node.kill()

        async def is_down() -> bool:
            return CODE in (await http.ask("GET", f"/v1/{TYPE}/before")).text

        await until(is_down, "a cluster that is down")
        for _ in range(CALLS):
            answer = await http.ask("POST", f"/v1/{TYPE}/before", {"priority": 1})
            assert (answer.status_code, answer.json()["code"]) == (503, CODE)
            assert int(answer.headers["retry-after"]) >= 1
            assert "CLUSTERDOWN" not in answer.text
        metrics = (await http.ask("GET", "/metrics")).text
        assert f'rq_broker_redis_trouble{{cause="{CODE}"}} 1.0' in metrics
        assert f'rq_broker_redis_refused_total{{cause="{CODE}"}}' in metrics

        for node in lost:
            node.start()

        async def is_whole() -> bool:
            return (await http.ask("GET", f"/v1/{TYPE}/before")).status_code == 200

        await until(is_whole, "a whole cluster")
        await http.submit(sink, "after", 1)
        await http.until("running", "before", "after")
        await http.aclose()
        for child in (api, notifier):
            await _tells_once(child)
        assert await contradictions(servers, TYPE) == []


async def _tells_once(child: Child) -> None:
    """Check that a process logs when the cause begins, and when it is over, once each."""

    async def is_over() -> bool:
        return f"{CODE}\n" in child.output()

    await until(is_over, "a line that says that it is over")
    output = child.output()
    assert (output.count(f"{CODE} ("), output.count(f"{CODE}\n")) == (1, 1), output
    assert "Traceback" not in output
