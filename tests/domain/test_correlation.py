"""What a submit says of itself: read by the rules of W3C Trace Context, and safe to send on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies

from rq_broker.domain.correlation import Correlation

IDS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
PARENT = f"00-{IDS}-01"
LONG = "l=" + "x" * 200


@pytest.mark.parametrize(
    ("parent", "kept"),
    [
        (PARENT, PARENT),
        (f"00-{IDS}-00", f"00-{IDS}-00"),
        (f"cc-{IDS}-09", f"00-{IDS}-01"),  # a later version, of which two flags are known
        (f"cc-{IDS}-01-more", PARENT),
        (f"cc-{IDS}-01.more", ""),
        (f"00-{IDS}-01-more", ""),
        (f"ff-{IDS}-01", ""),
        (PARENT.upper(), ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", ""),
        (PARENT[:-1], ""),
        (f"{PARENT}\r\nx: y", ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_kept_or_ignored_as_specified(parent: str, kept: str) -> None:
    """Valid ones pass unchanged, later versions as version 00, malformed ones not at all."""
    said = Correlation.of([(b"traceparent", parent.encode())])
    assert (said.traceparent if said else "") == kept


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1,b@c=2", "a=1,b@c=2"),
        (" a=1 ,, \tb=2,", "a=1,b=2"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=1;b,c", ""),
        ("a=x=y", ""),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        (f"{LONG},a={'y' * 100},m={'x' * 200},b={'y' * 100}", None),
    ],
)
def test_a_tracestate_is_kept_whole_members_at_a_time(state: str, kept: str | None) -> None:
    """A malformed list is ignored; of one that is too long, the long members go first."""
    said = Correlation.of([(b"traceparent", PARENT.encode()), (b"tracestate", state.encode())])
    assert said
    assert said.traceparent == PARENT
    if kept is None:
        assert [member[0] for member in said.tracestate.split(",")] == ["l", "a", "b"]
    else:
        assert said.tracestate == kept


def test_headers_that_come_twice() -> None:
    """Two parents are malformed, the lines of a state are one list, and a state needs a parent."""
    state = [(b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    parent = (b"traceparent", PARENT.encode())
    assert Correlation.of([parent, *state]) == Correlation("", PARENT, "a=1,b=2")
    assert Correlation.of([parent, parent, *state]) is None
    assert Correlation.of([(b"x-request-id", b"r 1"), *state]) is None
    assert Correlation.of([(b"x-request-id", b"r-1"), *state]) == Correlation("r-1")


@given(strategies.text(), strategies.text(), strategies.text())
def test_nothing_that_is_sent_on_can_forge_a_header(request_id: str, ids: str, state: str) -> None:
    """Whatever somebody wrote into Redis, each header is one line of printable ASCII."""
    for parent in (ids, PARENT):
        said = Correlation.read(request_id, parent, state)
        for value in (said.headers() if said else {}).values():
            assert re.fullmatch("[ -~]+", value)
