"""Callbacks as clients name them: the URL that is called, and the destination it counts for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, strategies as st

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress.callback import _destination, absolute_url, destination
from rq_broker.egress.rules import Egress

BASE = "http://base.test:8080/inbox/"


def test_a_relative_callback_is_joined_to_the_base() -> None:
    """A relative callback is called below the base, an absolute one as it is."""
    assert absolute_url("abc", BASE) == "http://base.test:8080/inbox/abc"
    assert absolute_url("https://a.test/x", BASE) == "https://a.test/x"


def test_a_relative_callback_needs_a_base() -> None:
    """Without a base the refusal says that there is none."""
    with pytest.raises(Invalid, match="relative ones need --callback-base"):
        absolute_url("abc", None)


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ("abc", "http://base.test:8080"),
        ("/abc?x=http://other.test/", "http://base.test:8080"),
        ("http://a.test", "http://a.test:80"),
        ("https://a.test/x", "https://a.test:443"),
        ("HTTP://A.Test:8080/x?y", "http://a.test:8080"),
        ("http://[::1]:9/x", "http://[::1]:9"),
        ("//other.test/x", "http://other.test:80"),
    ],
)
def test_a_destination_is_scheme_host_and_port(callback: str, expected: str) -> None:
    """However the URL spells them, a destination has one spelling and always a port."""
    assert destination(callback, BASE) == expected


@pytest.mark.parametrize(
    "callback",
    [
        "ftp://a.test/",
        "localhost:8080/x",
        "mailto:x@a.test",
        "http:abc",
        "http://",
        "http:///x",
        "http://a.test:0/",
        "http://a.test:99999/",
        "http://a.test:x/",
        "http://[::1/",
        "//[::1/x",
        "http://a b.test/",
        "http://user:secret@a.test/",
        "http://a.test\\@b.test/",
    ],
)
def test_a_callback_that_cannot_be_called_is_refused(callback: str) -> None:
    """Other schemes, missing hosts, impossible ports and userinfo are refused, naming callback."""
    with pytest.raises(Invalid, match="callback"):
        destination(callback, BASE)


@pytest.mark.parametrize("callback", ["http://10.0.0.7/done/1", "later", "HTTP://10.0.0.7"])
def test_egress_rules_change_no_destination(callback: str) -> None:
    """A callback the rules allow has the same destination with them as without."""
    assert destination(callback, BASE, Egress()) == destination(callback, BASE)


@pytest.mark.parametrize("callback", ["http://127.0.0.1/done/1", "http://127.0.0.1/done/2"])
def test_egress_rules_refuse_a_destination(callback: str) -> None:
    """A callback the rules forbid is refused, each time."""
    with pytest.raises(CallbackForbidden, match="loopback"):
        destination(callback, BASE, Egress())


def test_a_url_that_cannot_be_dialled_has_its_own_code() -> None:
    """A URL with userinfo is refused with the code callback_forbidden."""
    with pytest.raises(CallbackForbidden):
        destination("http://user@a.test/", BASE)


PIECES = [
    "/",
    "//",
    "?",
    "#",
    ":",
    "@",
    "\\",
    ".",
    "..",
    ";",
    " ",
    "\t",
    "%2f",
    "a.test",
    "[::1]",
    "80",
]


@given(st.lists(st.sampled_from(["http://", "https://", "ftp:", *PIECES]), max_size=8))
@example(["/", "http://", " ", "/", ".."])
def test_the_cache_changes_no_destination(pieces: list[str]) -> None:
    """Any callback, odd ones too, has the destination or the refusal that it has uncached."""
    callback = "".join(pieces)
    assert _result(callback, destination) == _result(callback, _destination.__wrapped__)


def _result(callback: str, of: Callable[..., str]) -> str:
    """Return the destination, or the class of the refusal."""
    try:
        return of(callback, BASE, None)
    except Invalid as refusal:
        return type(refusal).__name__
