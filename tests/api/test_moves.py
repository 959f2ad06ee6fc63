"""Moves of waiting jobs over HTTP: previewed, made by the version of the line, refused, undone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.api.conftest import listed, refused, submit
from tests.api.tenants import WhoHeader, client as client_of
from tests.explaining import add_history
from tests.making import TYPE, array_submission, bring, publish, submit as submit_job


def _by(line: str) -> dict[str, str]:
    return {"If-Match": f'"{line}"'}


async def _line(api: httpx.AsyncClient, names: str = "abcde") -> None:
    for number, name in enumerate(names):
        await submit(api, name, priority=100 * number)


async def _preview(api: httpx.AsyncClient, name: str, **place: Any) -> dict[str, Any]:
    answer = await api.post("/types/vm/what-if", json={"request_id": name, **place})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["data"]
    return told


async def test_a_move_is_previewed_made_and_undone(api: httpx.AsyncClient) -> None:
    """The preview gives the version to move by, the move that to move back by: the same call."""
    await _line(api)
    told = await _preview(api, "e", position=2)
    assert (told["was"], told["position"], await listed(api)) == (5, 2, list("abcde"))
    await api.delete("/v1/vm/a")  # its place is another number now
    moved = await api.post("/v1/vm/e", json={"position": 2}, headers=_by(told["line"]))
    data = moved.json()["data"]
    assert (data["position"], data["was"], await listed(api)) == (1, 4, list("ebcd"))
    undo = data["undo"]
    await submit(api, "n")
    back = await api.post(
        "/v1/vm/e", json={"position": undo["position"]}, headers=_by(undo["line"])
    )
    assert back.status_code == 200, back.text
    assert await listed(api) == list("bcden")


async def test_a_preview_says_who_starts_later_and_by_how_much(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """The moved job is the first told; those that it passes are counted, and listed with times."""
    await publish(broker, VCPU=4, Memory=4, Disk=4)
    await add_history(client, *[100.0] * 20)
    for name in "abcd":
        await submit(api, name, owner_id=name, data={"instances": [{"VCPU": 4}], "project": "p"})
    told = await _preview(api, "d", before="b")
    assert told["moves"][0]["request_id"] == "d"
    named = {(move["request_id"], move["owner_id"]) for move in told["moves"]}
    assert named == {(name, name) for name in "bcd"}
    assert (told["later"], told["sooner"], told["same"], told["unknown"]) == (2, 0, 0, 0)
    assert told["moves"][0]["seconds"] == pytest.approx(-200, rel=0.2)
    assert told["moves"][1]["before"]["p50"] < told["moves"][1]["after"]["p50"]


@pytest.mark.parametrize("place", [{"position": 2}, {"before": "b"}, {"position": "front"}])
async def test_a_line_that_changed_refuses_with_the_new_preview(
    api: httpx.AsyncClient, place: dict[str, Any]
) -> None:
    """Nothing is moved; the refusal says what the move would do now, and by which version."""
    await _line(api)
    told = await _preview(api, "e", **place)
    await submit(api, "n", priority=150)
    answer = await api.post("/v1/vm/e", json=place, headers=_by(told["line"]))
    refused(answer, 412, "changed_meanwhile", "another job came in between")
    preview = answer.json()["preview"]
    assert await listed(api) == list("abncde")
    assert (preview["was"], len(preview["moves"])) == (6, 1 + 6 - preview["position"])
    assert preview["line"] != told["line"]
    answer = await api.post("/v1/vm/e", json=place, headers=_by(preview["line"]))
    assert answer.json()["data"]["position"] == preview["position"]


async def test_a_list_of_queued_jobs_has_the_version_of_the_line(api: httpx.AsyncClient) -> None:
    """Page, stream and page by place tell it; what enters, leaves or moves changes it."""
    await _line(api)
    seen: set[str] = set()
    for happens in (None, ("n", {}), ("a", {"position": "back"}), ("b", {"status": "error"})):
        if happens and happens[1]:
            await api.post(f"/v1/vm/{happens[0]}", json=happens[1])
        elif happens:
            await submit(api, happens[0])
        lines = set()
        for query in ("", "&limit=2", "&from=2", "&owner_id=y&limit=9", "&eta=1"):
            lines.add((await api.get(f"/v1/vm/?status=queued{query}")).json()["line"])
        assert len(lines) == 1
        assert not lines & seen
        seen |= lines
    for query in ("", "?limit=5", "?status=error"):
        assert "line" not in (await api.get(f"/v1/vm/{query}")).json()
    (line,) = lines
    answer = await api.post("/v1/vm/d", json={"position": "front"}, headers=_by(line))
    assert answer.json()["data"]["position"] == 1


async def test_what_no_version_of_the_line_goes_with(api: httpx.AsyncClient) -> None:
    """It is for a place: not for a priority or a status, and not beside other versions."""
    await _line(api)
    line = (await _preview(api, "e", position=2))["line"]
    answer = await api.post("/v1/vm/e", json={"priority": 4}, headers=_by(line))
    refused(answer, 400, "invalid_request", "goes with before, after and position")
    both = {"If-Match": f'"{line}", "other"'}
    answer = await api.post("/v1/vm/e", json={"position": 2}, headers=both)
    refused(answer, 400, "invalid_request", "or one version of the line")
    answer = await api.post("/v1/vm/e", json={"status": "done"}, headers=_by(line))
    refused(answer, 400, "invalid_request", "version of the line")
    for position in (0, -1, 1.5, "3", 2**53):
        answer = await api.post("/v1/vm/e", json={"position": position})
        refused(answer, 400, "invalid_request", "position")
    answer = await api.post("/types/vm/what-if", json={"request_id": "e", "before": "x"})
    refused(answer, 404, "job_not_found")
    answer = await api.post(
        "/types/vm/what-if", json={"request_id": "e", "before": "a", "after": "b"}
    )
    refused(answer, 400, "invalid_request", "give one of")
    assert await listed(api) == list("abcde")


async def test_an_array_goes_to_no_place(api: httpx.AsyncClient, broker: Broker) -> None:
    """Its jobs stand together: front, back and neighbours are all that it takes."""
    await broker.submit_array(TYPE, array_submission(2))
    refused(await api.post("/v1/vm/s[*]", json={"position": 2}), 400, "invalid_request", "array")


async def test_a_job_that_left_the_line_cannot_be_moved_back(api: httpx.AsyncClient) -> None:
    """An undo that comes too late says what has become of the job."""
    await _line(api)
    undo = (await api.post("/v1/vm/e", json={"position": 1})).json()["data"]["undo"]
    await api.post("/v1/vm/e", json={"status": "error"})
    answer = await api.post(
        "/v1/vm/e", json={"position": undo["position"]}, headers=_by(undo["line"])
    )
    refused(answer, 409, "not_waiting", "e is in error, not queued")
    await api.delete("/v1/vm/e")
    answer = await api.post("/v1/vm/e", json={"position": 1}, headers=_by(undo["line"]))
    refused(answer, 404, "job_not_found")


# Lists by place


async def test_a_list_begins_at_a_place(api: httpx.AsyncClient, broker: Broker) -> None:
    """Its rows have that place and the next ones; what waits beside the line is no part of it."""
    await _line(api)
    await submit(api, "late", not_before="2096-01-01T00:00:00Z", priority=250)
    await bring(broker, Status.RUNNING, "r")
    for begin in range(1, 8):
        rows = (await api.get(f"/v1/vm/?status=queued&from={begin}&limit=3")).json()["data"]
        shown = [(row["RequestID"], row["Position"]) for row in rows]
        assert shown == [(name, n) for n, name in enumerate("abcde", 1) if begin <= n < begin + 3]
    await api.delete("/v1/vm/b")
    rows = (await api.get("/v1/vm/?status=queued&from=2")).json()["data"]
    assert [(row["RequestID"], row["Position"]) for row in rows] == [("c", 2), ("d", 3), ("e", 4)]
    for query in ("from=0", "from=-1", "from=x", "from=", "from=1.5", "from=99999999999999999"):
        refused(
            await api.get(f"/v1/vm/?status=queued&{query}"), 400, "invalid_request", "from must"
        )
    for query in ("from=1", "status=queued&from=1&request_id=s[*]"):
        refused(await api.get(f"/v1/vm/?{query}"), 400, "invalid_request", "from goes with")


async def test_a_client_moves_among_its_own(broker: Broker) -> None:
    """A move takes an own place only, and its preview names nobody else; it has no line of its own
    to begin a list in."""
    order = ["x1", "a1", "x2", "a2", "a3", "x3"]
    for name in order:
        await submit_job(broker, name, owner_id=name[0])
    app = create_app(broker, authenticators=[WhoHeader(client_of("me", "a"))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api.test", headers={"X-Who": "me"}
    ) as api:
        refused(await api.get("/v1/vm/?status=done&from=1"), 400, "invalid_request", "from goes")
        told = await _preview(api, "a3", position=1)
        assert (told["position"], told["was"]) == (2, 5)
        named = {(move["request_id"], move["owner_id"]) for move in told["moves"]}
        assert named == {("a1", "a"), ("a2", "a"), ("a3", "a"), (None, None)}
        answer = await api.post("/v1/vm/a3", json={"position": 1}, headers=_by(told["line"]))
        undo = answer.json()["data"]["undo"]
        assert await listed(api) == ["a3", "a1", "a2"]
        back = {"position": undo["position"]}
        assert (
            await api.post("/v1/vm/a3", json=back, headers=_by(undo["line"]))
        ).status_code == 200
        assert await listed(api) == ["a1", "a2", "a3"]
        refused(await api.post("/v1/vm/x1", json={"position": 2}), 404, "job_not_found")
        await broker.set_policy(TYPE, {"own_order": False})
        refused(await api.post("/v1/vm/a3", json={"position": 1}), 403, "forbidden")
