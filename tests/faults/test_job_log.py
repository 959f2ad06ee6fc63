"""The logs of two processes tell one story of a job."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from standins.receivers import receiver, responding

from rq_broker.store.embedded import Server
from tests.api_client import ApiClient
from tests.processes import Child, Children, until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _lines(child: Child, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in child.output().splitlines() if line]
    return [line for line in lines if line["message"] == event]


async def test_a_submit_its_grant_and_its_callback_are_joined(
    store: Server, spawn: Children
) -> None:
    """The ids join the API's line with the notifier's two and with the callback's headers; and all
    lines of both processes are JSON, from their start to their end."""
    api = spawn.api(store.url, "--log-format", "json")
    notifier = spawn.notifier(store.url, "--log-format", "json")
    await asyncio.to_thread(api.ready)
    http = ApiClient([api])
    http.headers = {"X-Request-ID": "from-my-proxy-7", "traceparent": PARENT}
    async with receiver(responding(200)) as sink:
        await http.publish({"VCPU": 4})
        await http.submit(sink, "other", 1)
        await http.submit(sink, "d", 1)
        await http.until("running", "other", "d")
    await http.aclose()

    async def is_logged() -> bool:
        return len(_lines(notifier, "job.callback")) == 2

    await until(is_logged, "the lines of both callbacks")
    for child in (api, notifier):
        child.process.terminate()
        await asyncio.to_thread(child.wait)
    (submitted,) = [line for line in _lines(api, "job.submitted") if line["request_id"] == "d"]
    same_job = submitted["type"], submitted["request_id"], submitted["id"]
    joined = [
        line
        for event in ("job.granted", "job.callback")
        for line in _lines(notifier, event)
        if (line["type"], line["request_id"], line["id"]) == same_job
    ]
    granted, called = joined
    assert granted["fence"] == called["fence"]
    assert granted["webhook_id"] == called["webhook_id"]
    assert (called["cause"], called["attempt"]) == ("http_200", 1)
    assert submitted["http_request_id"] == called["http_request_id"] == "from-my-proxy-7"
    heads = [head for head in sink.heads if f"webhook-id: {called['webhook_id']}\r\n" in head]
    assert len(heads) == 1
    assert re.search(r"(?i)\r\nx-request-id: from-my-proxy-7\r\n", heads[0])
    assert f"traceparent: {called['traceparent']}\r\n" in heads[0]
    assert called["traceparent"] == PARENT
