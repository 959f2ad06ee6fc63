"""Jobs over HTTP: the calls of the original service, and what the broker adds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, listed, refused, submission, submit

ORIGINAL_KEYS = [
    "ID",
    "CreatedAt",
    "UpdatedAt",
    "DeletedAt",
    "RequestID",
    "Type",
    "OwnerID",
    "Data",
    "Callback",
    "Priority",
    "Status",
]
ADDED_KEYS = ["Position", "Hosts", "Fence", "Attempts", "Error", "Expected"]


async def test_the_original_request_field_for_field(api: httpx.AsyncClient) -> None:
    """The original's request is answered 201 with a Location and a job: its keys, then ours."""
    answer = await api.post("/v1/vm/", json=submission("d", callback="abc"))
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/vm/d")
    job = answer.json()["data"]
    assert list(job) == ORIGINAL_KEYS + ADDED_KEYS
    assert job["Data"] == '{"instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"project id"}'
    assert (job["RequestID"], job["OwnerID"], job["Callback"]) == ("d", "y", "abc")
    assert (job["Type"], job["Status"], job["DeletedAt"]) == ("vm", "queued", None)
    assert type(job["ID"]) is int
    assert type(job["Priority"]) is int


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_slash_forms(api: httpx.AsyncClient, slash: str) -> None:
    """Every call answers the same with and without the trailing slash, and never redirects."""
    answers = [
        await api.post(f"/v1/vm{slash}", json=submission("d")),
        await api.get(f"/v1/vm{slash}"),
        await api.get(f"/v1/vm/d{slash}"),
        await api.post(f"/v1/vm/d{slash}", json={"priority": 83334}),
        await api.get(f"/v1{slash}"),
        await api.delete(f"/v1/vm/d{slash}"),
        await api.put(f"/types/vm/hosts/h{slash}", json={"capacity": {}}),
        await api.get(f"/types/vm/hosts{slash}"),
        await api.get(f"/healthz{slash}"),
    ]
    assert [answer.status_code for answer in answers] == [
        201,
        200,
        200,
        200,
        200,
        200,
        201,
        200,
        200,
    ]


async def test_a_waiting_job_has_a_reason(api: httpx.AsyncClient) -> None:
    """A queued job has Position and Reason; once it runs, Reason is absent."""
    await submit(api, "a", "d")
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert (job["Position"], job["Reason"]) == (
        2,
        "there is no host; and no notifier serves this type",
    )
    await api.post("/v1/vm/d", json={"status": "running"})
    assert list((await api.get("/v1/vm/d")).json()["data"]) == ORIGINAL_KEYS + ADDED_KEYS


@pytest.mark.parametrize("type_", ["虛擬機", "a b", "100%", "a:b", "ü+&?#"])
@pytest.mark.parametrize("request_id", ["r 1", "機?#%41"])
async def test_types_and_ids_are_any_string(
    api: httpx.AsyncClient, type_: str, request_id: str
) -> None:
    """Any text can be a name: it is returned unchanged, and the Location leads to the job."""
    body = submission(request_id, callback="abc")
    answer = await api.post(f"/v1/{quote(type_, safe='')}/", json=body)
    job = (await api.get(answer.headers["location"])).json()["data"]
    assert (job["Type"], job["RequestID"]) == (type_, request_id)
    assert type_ in (await api.get("/v1/")).json()["data"]


@pytest.mark.parametrize("type_", ["%7Bx%7D", "%00", "a" * 65, "%FF"])
async def test_types_that_are_refused(api: httpx.AsyncClient, type_: str) -> None:
    """Every call refuses a type with braces, control characters, broken UTF-8 or too many bytes."""
    refused(await api.get(f"/v1/{type_}"), 400, "invalid_request", "type must")
    answer = await api.post(f"/v1/{type_}/", json=submission())
    refused(answer, 400, "invalid_request", "type must")
    refused(await api.get(f"/types/{type_}/hosts"), 400, "invalid_request", "type must")


async def test_data_keeps_every_digit(api: httpx.AsyncClient) -> None:
    """Data is a JSON string with sorted keys and no spaces, its numbers as they were written."""
    data = '{"z": 1.50, "a": 123456789012345678901234567890, "m": -0.0, "機": "\\u6a5f\\n"}'
    body = json.dumps(submission(data="?")).replace('"?"', data)
    await api.post("/v1/vm/", content=body)
    job = (await api.get("/v1/vm/d")).json()["data"]
    canonical = '{"a":123456789012345678901234567890,"m":-0.0,"z":1.50,"機":"機\\n"}'
    assert job["Data"] == canonical


async def test_updates(api: httpx.AsyncClient) -> None:
    """priority, before, after and position reorder a job; where to, the answer to the last says."""
    await submit(api, "a", "b", "c", "d")
    moves: list[tuple[str, dict[str, Any], list[str]]] = [
        ("d", {"priority": 83334}, ["d", "a", "b", "c"]),
        ("a", {"position": "back"}, ["d", "b", "c", "a"]),
        ("c", {"before": "d"}, ["c", "d", "b", "a"]),
        ("c", {"after": "b"}, ["d", "b", "c", "a"]),
        ("a", {"position": "front"}, ["a", "d", "b", "c"]),
        ("b", {"position": 2}, ["a", "b", "d", "c"]),
        ("a", {"position": 99}, ["b", "d", "c", "a"]),
    ]
    for name, body, expected in moves:
        was = (await listed(api)).index(name) + 1
        answer = await api.post(f"/v1/vm/{name}", json=body)
        assert answer.status_code == 200
        assert await listed(api) == expected
        told = answer.json()["data"]
        if "priority" in body:
            assert told == {}
        else:
            assert (told["was"], told["position"]) == (was, expected.index(name) + 1)


async def test_what_a_job_expects(api: httpx.AsyncClient) -> None:
    """expected is given at the submit or later, shown as Expected, and bounded by the policy."""
    answer = await api.post("/v1/vm/", json=submission("d", expected=90))
    assert answer.json()["data"]["Expected"] == 90
    for expected in (7200.5, None, 60):
        answer = await api.post("/v1/vm/d", json={"expected": expected})
        assert (answer.status_code, answer.json()) == (200, {"data": {}, "ok": True})
        assert (await api.get("/v1/vm/d")).json()["data"]["Expected"] == expected
    await api.put("/types/vm", json={"expected_most": 60})
    update = await api.post("/v1/vm/d", json={"expected": 61})
    refused(update, 400, "expected_too_long", "expected must be at most 60 seconds")
    answer = await api.post("/v1/vm/", json=submission("e", expected=61))
    refused(answer, 400, "expected_too_long", "expected must be at most 60 seconds")
    assert await listed(api) == ["d"]
    await api.post("/v1/vm/d", json={"status": "error"})
    refused(await api.post("/v1/vm/d", json={"expected": 60}), 409, "conflict", "d is in error")


async def test_the_priorities_of_the_original(api: httpx.AsyncClient) -> None:
    """Priorities as the original computes them (min-1, max+1, average) move a job as documented."""
    await submit(api, "a", priority=10)
    await submit(api, "b", priority=20)
    await submit(api, "c", priority=30)
    await api.post("/v1/vm/c", json={"priority": 9})
    assert await listed(api) == ["c", "a", "b"]
    await api.post("/v1/vm/c", json={"priority": 21})
    assert await listed(api) == ["a", "b", "c"]
    await api.post("/v1/vm/c", json={"priority": 15})
    assert await listed(api) == ["a", "c", "b"]


async def test_status_moves(api: httpx.AsyncClient) -> None:
    """A repeated status changes nothing, and a move that the state machine lacks is a 409."""
    await submit(api, "d")
    for status in ("running", "running", "done", "queued"):
        assert (await api.post("/v1/vm/d", json={"status": status})).status_code == 200
    answer = await api.post("/v1/vm/d", json={"status": "granted"})
    refused(answer, 409, "impossible_move", "queued")
    failed = {"status": "error", "error": "the disk is full"}
    await api.post("/v1/vm/d", json=failed)
    assert (await api.get("/v1/vm/d")).json()["data"]["Error"] == "the disk is full"
    refused(await api.post("/v1/vm/d", json={"status": "running"}), 409, "impossible_move")


async def test_servers_go_with_running(api: httpx.AsyncClient, broker: Broker) -> None:
    """The servers of a running job are handed to the source of its hosts."""
    await broker.set_policy("vm", {"holds": "until_seen"})
    await submit(api, "d")
    body = {"status": "running", "servers": ["0d6a", "1f7b"]}
    assert (await api.post("/v1/vm/d", json=body)).status_code == 200
    watched = await broker.watch("vm", "lab", 1, 5.0)
    assert watched is not None
    assert watched.servers == {"0d6a", "1f7b"}


async def test_conflicts(api: httpx.AsyncClient) -> None:
    """Duplicate names, a stale fence and a neighbour that is not queued are 409s with own codes."""
    await submit(api, "a", "b")
    answer = await api.post("/v1/vm/", json=submission("a", callback="new"))
    refused(answer, 409, "duplicate_request_id")
    answer = await api.post("/v1/vm/", json=submission("new", callback="abc-a"))
    refused(answer, 409, "duplicate_callback")
    refused(await api.post("/v1/vm/a", json={"status": "done", "fence": 7}), 409, "stale_fence")
    await api.post("/v1/vm/b", json={"status": "running"})
    refused(await api.post("/v1/vm/a", json={"before": "b"}), 409, "not_waiting")


async def test_unknown_jobs(api: httpx.AsyncClient) -> None:
    """Every call for an unknown job is a 404 with the code job_not_found."""
    for answer in [
        await api.get("/v1/vm/d"),
        await api.post("/v1/vm/d", json={"priority": 1}),
        await api.post("/v1/vm/d", json={"status": "done"}),
        await api.delete("/v1/vm/d"),
    ]:
        refused(answer, 404, "job_not_found")


async def test_withdraw_frees_both_names(api: httpx.AsyncClient) -> None:
    """After DELETE the request_id and the callback may be used again."""
    await submit(api, "d", callback="abc")
    assert (await api.delete("/v1/vm/d")).json() == {"data": {}, "ok": True}
    assert await listed(api) == []
    await submit(api, "d", callback="abc")


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        (b"", "unreadable_json", "the body is empty"),
        (b"{", "unreadable_json", "the body is not JSON"),
        (b'{"request_id":"a","request_id":"b"}', "unreadable_json", "'request_id' is given twice"),
        (b"[]", "invalid_request", "the body must be a JSON object"),
        (b"{}", "invalid_request", "request_id is required"),
    ],
)
async def test_bad_bodies(api: httpx.AsyncClient, body: bytes, code: str, sentence: str) -> None:
    """A body that is no JSON, or no valid submit, is a 400 with a code and a sentence."""
    refused(await api.post("/v1/vm/", content=body), 400, code, sentence)


@pytest.mark.parametrize("priority", ["1.5", "1.0", "9007199254740992", '"1"', "true"])
async def test_bad_priorities(api: httpx.AsyncClient, priority: str) -> None:
    """Submit and update take only whole numbers that a sorted set's score holds exactly."""
    body = json.dumps(submission(priority="?")).replace('"?"', priority)
    refused(await api.post("/v1/vm/", content=body), 400, "invalid_request", "priority must be")
    answer = await api.post("/v1/vm/d", content=f'{{"priority":{priority}}}')
    refused(answer, 400, "invalid_request", "priority must be")


async def test_malformed_instances_are_placed(api: httpx.AsyncClient) -> None:
    """The sentence about a bad amount names the instance and the resource."""
    data = {"instances": [{"VCPU": 1}, {"VCPU": -1}]}
    answer = await api.post("/v1/vm/", json=submission(data=data))
    refused(
        answer,
        400,
        "invalid_request",
        "data.instances[1].VCPU must be a whole number from 0 to 2^53−1",
    )


async def test_a_callback_with_a_password(api: httpx.AsyncClient) -> None:
    """A callback with a password is refused with its own code."""
    answer = await api.post("/v1/vm/", json=submission(callback="http://u:p@a.test/"))
    refused(answer, 400, "callback_forbidden", "callback")


async def test_callbacks_that_egress_refuses(broker: Broker) -> None:
    """With egress rules, submit and what-if refuse a callback that no courier may dial."""
    egress = Egress.of(allow=["127.0.0.0/8"], ports=[9000])
    app = create_app(broker, callback_base=BASE, egress=egress)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        await submit(api, "a")
        await submit(api, "b", callback="http://127.0.0.1:9000/b")
        for callback in ("http://169.254.169.254:9000/", "http://receiver.test/"):
            answer = await api.post("/v1/vm/", json=submission("c", callback=callback))
            refused(answer, 400, "callback_forbidden", "are not allowed")
            question: dict[str, object] = {"data": {}, "callback": callback}
            answer = await api.post("/types/vm/what-if", json=question)
            refused(answer, 400, "callback_forbidden", "are not allowed")
        assert await listed(api) == ["a", "b"]


async def test_a_large_body_is_not_read_to_its_end(api: httpx.AsyncClient) -> None:
    """Beyond 1 MiB the answer is 413, whatever Content-Length claims, and reading stops."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b" " * 10_485
            await asyncio.sleep(0)

    answer = await api.post("/v1/vm/", content=chunks(), headers={"content-length": "5"})
    refused(answer, 413, "body_too_large", "1048576 bytes")
    assert sent < 110
    refused(await api.post("/v1/vm/d", content=b"x" * 2_000_000), 413, "body_too_large")


async def test_a_body_of_just_the_limit_is_read(api: httpx.AsyncClient) -> None:
    """A body of exactly 1 MiB is accepted."""
    body = json.dumps(submission()).encode()
    answer = await api.post("/v1/vm/", content=body + b" " * ((1 << 20) - len(body)))
    assert answer.status_code == 201


async def test_a_job_of_too_many_kinds_is_refused(api: httpx.AsyncClient) -> None:
    """A demand that lists more amounts than most_kinds is a 400, at the submit and in a what-if."""
    alike = [{"VCPU": 1, "Memory": 2}] * 500
    kinds = [{"VCPU": 1 + number, "Memory": 2} for number in range(65)]
    assert (await api.post("/v1/vm/", json=submission("a", data={"instances": alike}))).is_success
    for path, body in (
        ("/v1/vm/", submission("b", data={"instances": kinds})),
        ("/types/vm/what-if", {"data": {"instances": kinds}}),
    ):
        answer = await api.post(path, json=body)
        refused(answer, 400, "too_many_kinds", "data.instances lists 130 amounts")
    await api.put("/types/vm", json={"most_kinds": 130})
    answer = await api.post("/v1/vm/", json=submission("b", data={"instances": kinds}))
    assert answer.status_code == 201
    await api.put("/types/vm", json={"most_kinds": 1})
    answer = await api.post("/v1/vm/", json=submission("c", data={"instances": alike}))
    refused(answer, 400, "too_many_kinds", "the policy's most_kinds is 1")
