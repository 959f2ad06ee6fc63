"""The calls that both clients make, and how their answers become results."""

from __future__ import annotations

from functools import partial
from typing import get_type_hints

import httpx
import pytest

from rq_broker.client import Client, calls
from rq_broker.client.call import envelope_of, path
from rq_broker.client.policy_types import PolicyChange
from rq_broker.domain import errors
from rq_broker.domain.policy import Policy


def test_every_segment_is_percent_encoded() -> None:
    """No name can leave its segment of the path."""
    assert path("v1", "a/b?#%", "機 ") == "/v1/a%2Fb%3F%23%25/%E6%A9%9F%20"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_no_url_can_carry_is_refused(name: str) -> None:
    """Reading a job without a name does not list the type; the error is the API's own."""
    with pytest.raises(errors.Invalid, match=f"name '{name}'"):
        calls.read("vm", name)


def test_a_text_that_cannot_be_sent_is_refused() -> None:
    """In a path, a query and a body it is Invalid: a shell passes on any bytes of a name."""
    refused = partial(pytest.raises, errors.Invalid, match=r"udcff.* is no text in UTF-8")
    with Client("http://127.0.0.1:1", retries=0) as client:
        with refused():
            client.read("vm", "a\udcff")
        with refused():
            client.read("vm", "a", owner_id="\udcff")
        with refused():
            client.submit("vm", request_id="a\udcff", data={})


def test_a_policy_change_has_every_field() -> None:
    """Each field of domain.policy.Policy can be changed through the client."""
    assert set(get_type_hints(PolicyChange)) == set(Policy.__slots__)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"error":"x","code":"brand_new","ok":false}', "x"),
        (b"<html>", "HTTP 502 without an envelope"),
        (b'{"detail":"x"}', "HTTP 502 without an envelope"),
        (b"[]", "HTTP 502 without an envelope"),
    ],
)
def test_an_unknown_answer_raises_the_root_of_the_errors(content: bytes, expected: str) -> None:
    """An unknown code, as of a newer API, and a proxy's error page both raise BrokerError."""
    with pytest.raises(errors.BrokerError, match=expected) as raised:
        envelope_of(httpx.Response(502, content=content))
    assert type(raised.value) is errors.BrokerError


def test_every_code_raises_its_class() -> None:
    """The client raises, for every code of the errors, exactly the class that has it."""
    for cls in errors.by_word().values():
        answer = {"error": "x", "code": cls.code, "ok": False}
        with pytest.raises(cls) as raised:
            envelope_of(httpx.Response(cls.status, json=answer))
        assert type(raised.value) is cls
