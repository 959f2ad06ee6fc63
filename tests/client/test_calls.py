"""The calls both clients make, and how their answers are opened."""

from __future__ import annotations

from typing import get_type_hints

import httpx
import pytest

from rq_broker.client import calls
from rq_broker.domain import errors
from rq_broker.domain.policy import Policy


def test_every_segment_is_percent_encoded() -> None:
    """No name can leave its segment of the path."""
    assert calls.path("v1", "a/b?#%", "機 ") == "/v1/a%2Fb%3F%23%25/%E6%A9%9F%20"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_moves_a_call_elsewhere(name: str) -> None:
    """Reading a job without a name lists no type; the refusal is the API's own for such names."""
    with pytest.raises(errors.Invalid, match=f"name '{name}'"):
        calls.job("GET", "vm", name)


def test_a_policy_change_knows_every_field() -> None:
    """A field added to models.Policy can be changed through the client too."""
    assert set(get_type_hints(calls.PolicyChange)) == set(Policy.__slots__)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"error":"x","code":"brand_new","ok":false}', "x"),
        (b"<html>", "HTTP 502 without an envelope"),
        (b'{"detail":"x"}', "HTTP 502 without an envelope"),
        (b"[]", "HTTP 502 without an envelope"),
    ],
)
def test_strange_answers(content: bytes, expected: str) -> None:
    """A code of a newer API, or a proxy's page, still raises the root of the tree."""
    with pytest.raises(errors.BrokerError, match=expected) as raised:
        calls.opened(httpx.Response(502, content=content))
    assert type(raised.value) is errors.BrokerError


def test_every_code_has_its_class() -> None:
    """The client raises, for every code of the tree, exactly the class that bears it."""
    for cls in errors.by_word().values():
        answer = {"error": "x", "code": cls.code, "ok": False}
        with pytest.raises(cls) as raised:
            calls.opened(httpx.Response(cls.status, json=answer))
        assert type(raised.value) is cls
