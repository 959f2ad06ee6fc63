"""Arrays over HTTP: submitted, listed, read, explained, moved and withdrawn as one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests import making
from tests.api.conftest import listed, refused, submission, submit

KEY = {"Idempotency-Key": "k1"}


def _array(request_id: str = "s", count: int | None = 3, **fields: Any) -> dict[str, Any]:
    return submission(request_id, **{"callback": f"{request_id}-{{n}}", "count": count, **fields})


async def _read(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get(f"/v1/vm/{name}")).json()["data"]
    return answer


async def _numbers(api: httpx.AsyncClient, query: str = "") -> list[str]:
    return [name.removeprefix("s") for name in await listed(api, query)]


async def test_one_submit_makes_many_jobs(api: httpx.AsyncClient, client: Redis) -> None:
    """Each job has its number in name, callback and data; `{{n}}` stays as the text {n}."""
    data = {"args": ["{n} of {{n}}", {"{n}": "x{n}"}], "instances": [{"VCPU": 1}], "n": 1.50}
    answer = await api.post("/v1/vm/", json=_array(data=data, give_up_after=60))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/vm/s%5B%2A%5D"
    array = answer.json()["data"]
    assert (array["RequestID"], array["Count"], array["AtOnce"]) == ("s[*]", 3, None)
    assert (array["Counts"]["queued"], array["Waiting"], array["Complete"]) == (3, "s[0]", True)
    job = await _read(api, "s[2]")
    assert (job["Position"], job["Callback"], job["GiveUpAfter"]) == (3, "s-2", 60)
    assert job["Data"] == '{"args":["2 of {n}",{"{n}":"x2"}],"instances":[{"VCPU":1}],"n":1.5}'
    assert await audit(client, "vm") == []


async def test_the_number_may_be_part_of_what_a_job_needs(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Jobs that name other aggregates or receivers by their numbers are of other shapes."""
    data = {"instances": [{"VCPU": 1}], "host_aggregate": "rack{n}"}
    body = _array(data=data, callback="http://lab{n}.test/x", at_once=1)
    assert (await api.post("/v1/vm/", json=body)).status_code == 201
    shapes = (await broker.heads("vm", 0, 9, 9)).waiting
    assert [waiting.shape.demand.aggregate for waiting in shapes] == ["rack0", "rack1", "rack2"]
    assert [waiting.shape.destination for waiting in shapes] == [
        f"http://lab{number}.test:80" for number in range(3)
    ]
    assert await audit(client, "vm") == []


async def test_a_repeated_submit_is_the_same(api: httpx.AsyncClient) -> None:
    """Without a key it is a 409 that says so; with its key it is the first answer again."""
    assert (await api.post("/v1/vm/", json=_array(), headers=KEY)).status_code == 201
    again = await api.post("/v1/vm/", json=_array(), headers=KEY)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json()["data"]["RequestID"] == "s[*]"
    plain = await api.post("/v1/vm/", json=_array())
    refused(plain, 409, "duplicate_request_id", "s[*] is there already")
    assert plain.json()["same"] is True
    other = await api.post("/v1/vm/", json=_array(count=4))
    refused(other, 409, "duplicate_request_id", "another submit")
    other = await api.post("/v1/vm/", json=_array(count=4), headers=KEY)
    refused(other, 409, "idempotency_key_reused", "s[*]")
    other = await api.post("/v1/vm/", json=submission("d"), headers=KEY)
    refused(other, 409, "idempotency_key_reused", "s[*]")


async def test_the_first_name_or_callback_taken_is_named(
    api: httpx.AsyncClient, client: Redis
) -> None:
    """A refused array leaves nothing, and the sentence has the first job that is in the way."""
    await submit(api, "s[2]", "s[1]")
    await submit(api, "d", callback="t-1")
    keys = sorted(await client.keys())
    refused(await api.post("/v1/vm/", json=_array()), 409, "duplicate_request_id", "s[1] is taken")
    sentence = "callback of t[1] is taken in this type by job d"
    refused(await api.post("/v1/vm/", json=_array("t")), 409, "duplicate_callback", sentence)
    assert sorted(await client.keys()) == keys


async def test_an_array_is_listed_by_its_numbers(api: httpx.AsyncClient) -> None:
    """`request_id=s[*]` lists its jobs, page by page, of a status or of an owner."""
    await submit(api, "other")
    await api.post("/v1/vm/", json=_array(count=12))
    await api.post("/v1/vm/s[3]", json={"status": "done"})
    await api.delete("/v1/vm/s[4]")
    numbers = [f"[{number}]" for number in range(12) if number != 4]
    assert await _numbers(api, "?request_id=s[*]") == numbers
    assert await _numbers(api, "?request_id=s[*]&status=done&owner_id=y") == ["[3]"]
    assert await _numbers(api, "?request_id=s[*]&owner_id=z") == []
    assert await _numbers(api, "?request_id=t[*]") == []
    page = (await api.get("/v1/vm/?request_id=s[*]&limit=5")).json()
    assert [job["RequestID"] for job in page["data"]] == [f"s{n}" for n in numbers[:5]]
    rest = (await api.get(f"/v1/vm/?request_id=s[*]&cursor={page['next']}")).json()
    assert [job["RequestID"] for job in rest["data"]] == [f"s{n}" for n in numbers[5:]]


async def test_an_array_tells_what_became_of_its_jobs(api: httpx.AsyncClient) -> None:
    """Read, it counts its jobs by status and says why the first one waits; explain likewise."""
    await api.post("/v1/vm/", json=_array())
    await api.post("/v1/vm/s[0]", json={"status": "done"})
    await api.delete("/v1/vm/s[2]")
    array = await _read(api, "s[*]")
    assert (array["Counts"]["queued"], array["Counts"]["done"], array["Count"]) == (1, 1, 3)
    assert (array["Waiting"], array["Reason"]) == (
        "s[1]",
        "there is no host; and no notifier serves this type",
    )
    explained = (await api.get("/v1/vm/s[*]/explain")).json()["data"]
    assert (explained["explains"], explained["position"]) == ("s[1]", 1)
    await api.post("/v1/vm/s[1]", json={"status": "done"})
    assert (await _read(api, "s[*]"))["Waiting"] is None
    refused(await api.get("/v1/vm/s[*]/explain"), 409, "not_waiting", "no job of s[*] waits")
    refused(await api.get("/v1/vm/t[*]"), 404, "job_not_found")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"position": "front"}, 0),
        ({"position": "back"}, 2),
        ({"before": "b"}, "b"),
        ({"after": "a"}, "a"),
        ({"after": "b"}, "b"),
    ],
)
@pytest.mark.parametrize("priorities", [(5, 5, 5), (9, 1, 5)])
async def test_an_array_moves_as_one(
    api: httpx.AsyncClient,
    client: Redis,
    change: dict[str, Any],
    place: int | str,
    priorities: tuple[int, int, int],
) -> None:
    """Its waiting jobs stand together in their order, wherever they stood before."""
    first, last, own = priorities
    await submit(api, "a", priority=first)
    await api.post("/v1/vm/", json=_array(priority=own))
    await submit(api, "b", priority=last)
    await api.post("/v1/vm/s[2]", json={"status": "running"})
    await api.post("/v1/vm/s[1]", json={"priority": 7})
    for _ in range(2):
        assert (await api.post("/v1/vm/s[*]", json=change)).status_code == 200
        line = await listed(api, "?status=queued")
        start = line.index("s[0]")
        assert line[start + 1] == "s[1]"
        if isinstance(place, str):
            assert line.index(place) == (start + 2 if "before" in change else start - 1)
        else:
            assert start == place
    assert await audit(client, "vm") == []


async def test_an_array_takes_a_priority(api: httpx.AsyncClient) -> None:
    """All its waiting jobs have it; a repeated submit still is the same."""
    await api.post("/v1/vm/", json=_array())
    await submit(api, "a")
    await api.post("/v1/vm/s[1]", json={"status": "done"})
    assert (await api.post("/v1/vm/s[*]", json={"priority": 2**50})).status_code == 200
    assert await listed(api, "?status=queued") == ["a", "s[0]", "s[2]"]
    assert (await api.post("/v1/vm/", json=_array())).json()["same"] is True


async def test_what_an_array_cannot_is_refused(api: httpx.AsyncClient) -> None:
    """An update of its status, a place relative to itself or to nobody change nothing."""
    await submit(api, "a")
    await api.post("/v1/vm/", json=_array())
    before = await listed(api)
    sentence = "takes priority, before, after or position"
    answer = await api.post("/v1/vm/s[*]", json={"status": "done"})
    refused(answer, 400, "invalid_request", sentence)
    answer = await api.post("/v1/vm/s[*]", json={"expected": 60})
    refused(answer, 400, "invalid_request", sentence)
    answer = await api.post("/v1/vm/s[*]", json={"before": "s[1]"})
    refused(answer, 409, "not_waiting", "belongs to s[*] itself")
    refused(await api.post("/v1/vm/s[*]", json={"before": "x"}), 404, "job_not_found")
    await api.post("/v1/vm/a", json={"status": "done"})
    answer = await api.post("/v1/vm/s[*]", json={"after": "a"})
    refused(answer, 409, "not_waiting", "a is not in the line")
    assert await listed(api) == before


async def test_an_array_is_withdrawn_as_one(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Nothing of it is left, also of jobs that hold; a repetition with its key is the same."""
    await making.publish(broker, VCPU=64, Memory=64, Disk=64)
    await api.post("/v1/vm/", json=_array(count=130, at_once=2))
    await api.post("/v1/vm/s[1]", json={"status": "running"})
    assert (await api.delete("/v1/vm/s[*]", headers=KEY)).json() == {"data": {}, "ok": True}
    assert await audit(client, "vm") == []
    assert [key for key in await client.keys() if "array" in key or "holding:" in key] == []
    assert (await broker.counts("vm"))[Status.QUEUED] == 0
    refused(await api.delete("/v1/vm/s[*]"), 404, "already_withdrawn", "s[*]")
    refused(await api.delete("/v1/vm/s[7]"), 404, "already_withdrawn", "s[7]")
    assert (await api.delete("/v1/vm/s[*]", headers=KEY)).json()["same"] is True
    await api.post("/v1/vm/", json=_array())
    assert (await api.delete("/v1/vm/s[*]", headers=KEY)).json()["same"] is True
    assert (await _read(api, "s[*]"))["Counts"]["queued"] == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"count": 0}, "count must be"),
        ({"count": 10_001}, "count must be"),
        ({"count": True}, "count must be"),
        ({"count": 2.5}, "count must be"),
        ({"at_once": 0}, "at_once must be"),
        ({"count": None, "at_once": 2}, "at_once goes with count"),
        ({"callback": "all"}, "callback must contain {n}"),
        ({"request_id": "x" * 253}, "request_id must not be longer"),
        ({"request_id": "x[*]"}, "request_id must not end in [*]"),
        ({"request_id": "x[*]", "count": None}, "request_id must not end in [*]"),
        ({"callback": "http://x/{n}" + "y" * 2036, "count": 1001}, "callback must not be longer"),
        ({"count": 1001, "callback": "http://x{n}/"}, "where the callback's host"),
        ({"count": 1001, "data": {"host_aggregate": "{n}"}}, "where what a job needs"),
        ({"count": 1000, "data": {"x": "y" * 9000}}, "data must not be longer than 8388 bytes"),
        ({"callback": "ftp://x/{n}"}, "callback must be an http"),
    ],
)
async def test_an_array_that_is_not_valid_is_refused(
    api: httpx.AsyncClient, fields: dict[str, Any], sentence: str
) -> None:
    """A 400 names the field and what it must be."""
    answer = await api.post("/v1/vm/", json=_array(**fields))
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


async def test_a_job_called_like_an_array_is_still_a_job(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """A job that an earlier version let be called `x[*]` is read, moved and withdrawn as before."""
    await making.submit(broker, "x[*]", callback="http://x/1")
    assert (await _read(api, "x[*]"))["Position"] == 1
    assert (await api.post("/v1/vm/x[*]", json={"status": "done"})).status_code == 200
    assert (await api.delete("/v1/vm/x[*]")).status_code == 200
