"""Calls that are repeated over HTTP: what their answers say, and which headers name them."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request

from rq_broker.api.idempotency import idempotency_key
from rq_broker.domain.errors import Invalid
from tests.api.conftest import refused, submission

NAME = "idempotency-key"


def key_of(*values: bytes) -> str:
    headers = [(NAME.encode(), value) for value in values]
    return idempotency_key(Request({"type": "http", "headers": headers}))


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"8e03978e-40d5", "8e03978e-40d5"),
        (b'"8e03978e-40d5"', "8e03978e-40d5"),
        (b' "a b" ', "a b"),
        (rb'"a\"b\\c"', r'a"b\c'),
        (b"a" * 255, "a" * 255),
        (b'"' + b"a" * 255 + b'"', "a" * 255),
    ],
)
def test_a_key_is_a_string_in_quotes_or_without(header: bytes, key: str) -> None:
    """Both spellings name the same key; within quotes a backslash escapes."""
    assert key_of(header) == key


@pytest.mark.parametrize(
    "header",
    [b"", b'""', b" ", b'"a', b'a"b"\x7f', b'"a";p=1', b'"\\a"', b"a" * 256, "ü".encode(), b"a\tb"],
)
def test_a_header_that_is_no_key_is_refused_by_name(header: bytes) -> None:
    """Empty, over-long, torn or not ASCII: the sentence names the header."""
    with pytest.raises(Invalid, match="the header Idempotency-Key must be 1 to 255 printable"):
        key_of(header)


def test_a_key_is_given_once() -> None:
    """Without the header there is no key; two of them are refused."""
    assert key_of() == ""
    with pytest.raises(Invalid, match="the header Idempotency-Key must be given once"):
        key_of(b"a", b"a")


async def test_a_repeated_submit_says_so(api: httpx.AsyncClient) -> None:
    """Without a key it stays a 409, with `same` and the job; another submit gets neither."""
    job = (await api.post("/v1/vm/", json=submission())).json()["data"]
    again = await api.post("/v1/vm/", json=submission())
    refused(again, 409, "duplicate_request_id")
    assert (again.json()["same"], again.json()["data"]) == (True, job)
    renamed = await api.post("/v1/vm/", json=submission("e", callback="abc-d"))
    refused(renamed, 409, "duplicate_callback")
    assert (renamed.json()["same"], renamed.json()["data"]) == (True, job)
    for other in (submission(owner_id="z"), submission("e", callback="abc-d", owner_id="z")):
        assert (await api.post("/v1/vm/", json=other)).json().keys() == {"error", "code", "ok"}


async def test_a_submit_repeated_with_its_key_is_answered_again(api: httpx.AsyncClient) -> None:
    """201 again, with a header that says so; the key with another body is a 409 of its own."""
    headers = {NAME: "k"}
    first = await api.post("/v1/vm/", json=submission(), headers=headers)
    again = await api.post("/v1/vm/", json=submission(), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["data"]["ID"] == first.json()["data"]["ID"]
    other = await api.post("/v1/vm/", json=submission(priority=1), headers=headers)
    refused(other, 409, "idempotency_key_reused", "used for job d")


async def test_a_repeated_delete_says_so(api: httpx.AsyncClient) -> None:
    """404 with a code of its own; with its key 200 again, `same` and the header."""
    await api.post("/v1/vm/", json=submission())
    refused(await api.delete("/v1/vm/e"), 404, "job_not_found")
    assert (await api.delete("/v1/vm/d", headers={NAME: "k"})).json() == {"data": {}, "ok": True}
    refused(await api.delete("/v1/vm/d"), 404, "already_withdrawn")
    again = await api.delete("/v1/vm/d", headers={NAME: "k"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json() == {"data": {}, "same": True, "ok": True}


async def test_a_bad_key_stores_and_withdraws_nothing(api: httpx.AsyncClient) -> None:
    """The header is checked before anything is written."""
    sentence = "the header Idempotency-Key must be"
    answer = await api.post("/v1/vm/", json=submission(), headers={NAME: "x" * 256})
    refused(answer, 400, "invalid_request", sentence)
    refused(await api.get("/v1/vm/d"), 404, "job_not_found")
    await api.post("/v1/vm/", json=submission())
    answer = await api.delete("/v1/vm/d", headers={NAME: '"'})
    refused(answer, 400, "invalid_request", sentence)
    assert (await api.get("/v1/vm/d")).status_code == 200
