"""ETag, If-Match and If-None-Match: the version of a job, and changes of one version only."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from rq_broker.store.broker import Broker, Settlement
from tests import making
from tests.api.conftest import listed, refused, submission, submit


async def _etag(api: httpx.AsyncClient, name: str = "d") -> str:
    return (await api.get(f"/v1/vm/{name}")).headers["etag"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expected": 3600, "priority": 7},
        {"give_up_after": 60, "hold_at_most": 60},
        {"after": ["first"], "callback": None},
        {"not_before": "2096-01-01T00:00:00Z", "data": {"text": "ü" * 600}},
    ],
)
async def test_each_answer_of_one_job_has_its_etag(
    api: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    """The submit, its repetition and the job alone have the same one."""
    await submit(api, "first")
    key = {"Idempotency-Key": "k"}
    answer = await api.post("/v1/vm", json=submission("d", **fields), headers=key)
    assert answer.status_code == 201, answer.text
    again = await api.post("/v1/vm", json=submission("d", **fields), headers=key)
    assert answer.headers["etag"] == again.headers["etag"] == await _etag(api)
    assert await _etag(api) != await _etag(api, "first")


async def test_every_change_of_a_job_changes_its_etag(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Over its whole life no two states have one ETag, and reading changes nothing."""
    await making.publish(broker, VCPU=8, Memory=8, Disk=8)
    seen: list[str] = []

    async def note() -> None:
        await asyncio.sleep(0.002)  # the time of a renewal is kept to the millisecond
        etag = await _etag(api)
        assert etag == await _etag(api)
        assert etag not in seen
        seen.append(etag)

    async def update(**body: Any) -> None:
        assert (await api.post("/v1/vm/d", json=body)).status_code == 200
        await note()

    await submit(api, "other", "d")
    await note()
    await update(priority=7)
    await update(priority=8)
    await update(priority=7)
    await update(expected=60)
    await update(expected=None)
    await api.post("/v1/vm/other", json={"before": "d"})
    for _ in range(2):
        job = await broker.read("vm", "d")
        assert await making.grant(broker, job, making.shape({"VCPU": 1}, owner="y"))
        await note()
        delivery = await making.claim_one(broker)
        await note()
        await making.settle(broker, delivery, Settlement("retry", "timeout", delay=60))
        await note()
        await update(status="running", fence=delivery.job.fence)
        await update(status="running")
        await update(status="done")
        await update(status="queued")
    await api.delete("/v1/vm/d")
    await submit(api, "d")
    await note()


async def test_a_job_that_is_known_is_not_sent_again(api: httpx.AsyncClient) -> None:
    """If-None-Match with its ETag, in a list, weak or `*`, is answered 304 without a body."""
    await submit(api, "d")
    etag = await _etag(api)
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, "/v1/vm/d", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == etag
    answer = await api.get("/v1/vm/d", headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, etag)
    # What changes with other jobs is no part of it.
    await submit(api, "front")
    await api.post("/v1/vm/front", json={"position": "front"})
    assert await _etag(api) == etag


CHANGES: list[dict[str, Any]] = [
    {"status": "running"},
    {"priority": 7},
    {"position": "front"},
    {"expected": 60},
]


@pytest.mark.parametrize("change", [*CHANGES, None])
async def test_a_change_of_another_version_is_refused(
    api: httpx.AsyncClient, change: dict[str, Any] | None
) -> None:
    """With If-Match only the version that the client has seen is changed or withdrawn."""
    await submit(api, "other", "d")

    async def send(etag: str) -> httpx.Response:
        headers = {"If-Match": etag}
        if change is None:
            return await api.delete("/v1/vm/d", headers=headers)
        return await api.post("/v1/vm/d", json=change, headers=headers)

    old = await _etag(api)
    await api.post("/v1/vm/d", json={"expected": 9})
    new = await _etag(api)
    refused(await send(old), 412, "changed_meanwhile", "d has changed since it was read")
    for tag in ('"*"', 'W/"*"', '"x", "*"', '""'):  # only without quotes is it any version
        refused(await send(tag), 412, "changed_meanwhile")
    assert await _etag(api) == new
    assert (await send(f"{old}, W/{new}")).status_code == 200
    if change is None:
        refused(await send(new), 404, "already_withdrawn")
    else:
        refused(await send(new), 412, "changed_meanwhile")
        assert (await send("*")).status_code == 200
    refused(await api.delete("/v1/vm/none", headers={"If-Match": new}), 404, "job_not_found")


async def test_a_repeated_delete_is_replayed_whatever_it_matches(api: httpx.AsyncClient) -> None:
    """A DELETE that was carried out and is repeated with its key succeeds again."""
    await submit(api, "d")
    headers = {"If-Match": await _etag(api), "Idempotency-Key": "k"}
    for _ in range(2):
        assert (await api.delete("/v1/vm/d", headers=headers)).status_code == 200


@pytest.mark.parametrize("text", ["", "abc", '"abc', '"a" "b"', "* , *", 'w/"a"', '"a b"'])
async def test_malformed_etags(api: httpx.AsyncClient, text: str) -> None:
    """A header that is no list of ETags is a 400 that names it, and nothing is changed."""
    await submit(api, "d")
    sentence = 'must be * or ETags in double quotes, such as "'
    answer = await api.post("/v1/vm/d", json={"priority": 7}, headers={"If-Match": text})
    refused(answer, 400, "invalid_request", f"the header If-Match {sentence}")
    answer = await api.delete("/v1/vm/d", headers={"If-Match": text})
    refused(answer, 400, "invalid_request", f"the header If-Match {sentence}")
    answer = await api.get("/v1/vm/d", headers={"If-None-Match": text})
    refused(answer, 400, "invalid_request", f"the header If-None-Match {sentence}")
    assert (await api.get("/v1/vm/d")).json()["data"]["Priority"] != 7


async def test_an_array_has_no_etag(api: httpx.AsyncClient) -> None:
    """An array as a whole has none, and a change of it by one is a 400; `*` is allowed."""
    await submit(api, "s", count=2, callback="cb/{n}")
    assert "etag" not in (await api.get("/v1/vm/s[*]")).headers
    headers = {"If-Match": '"a"'}
    answer = await api.post("/v1/vm/s[*]", json={"priority": 7}, headers=headers)
    refused(answer, 400, "invalid_request", "If-Match is for one job")
    refused(await api.delete("/v1/vm/s[*]", headers=headers), 400, "invalid_request")
    assert (await api.delete("/v1/vm/s[*]", headers={"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize("body", [{"status": "running"}, {"expected": 60}, None])
async def test_a_version_of_the_line_guards_no_other_change(
    api: httpx.AsyncClient, body: dict[str, Any] | None
) -> None:
    """Whoever guards a status, a span or a withdrawal by the line is told that it is no ETag."""
    await submit(api, "d")
    line = (await api.get("/v1/vm/?status=queued&limit=1")).json()["line"]
    method = "DELETE" if body is None else "POST"
    headers = {"If-Match": f'"{line}"'}
    answer = await api.request(method, "/v1/vm/d", headers=headers, json=body)
    refused(answer, 400, "invalid_request", "a version of the line, which guards a move only")
    assert await listed(api, "?status=queued") == ["d"]
