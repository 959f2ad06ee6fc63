"""The checks the edge is made of, at their limits."""

from __future__ import annotations

import re

import pytest

from rq_broker.domain import validation as checks
from rq_broker.domain.capacity import NewHost
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import Number
from rq_broker.domain.validation import MAX_WHOLE, Text


@pytest.mark.parametrize(
    ("value", "limit"), [("a" * 9, 9), ("機機機", 9), (" ", 1), ("\u2028", 3), ("\u200b", 3)]
)
def test_texts_that_just_fit(value: str, limit: int) -> None:
    """The limit counts bytes and is itself allowed; odd spaces are no control characters."""
    assert Text(limit).check(value, "it") == value
    assert Text(limit).acceptor()(value)
    with pytest.raises(Invalid, match=f"it must not be longer than {limit - 1} bytes|empty"):
        Text(limit - 1).check(value, "it")
    assert not Text(limit - 1).acceptor()(value)


@pytest.mark.parametrize("letter", ["\x00", "\t", "\n", "\x1f", "\x7f", "\x80", "\x9f"])
def test_control_characters(letter: str) -> None:
    """C0, DEL and C1 are refused wherever they stand."""
    for value in (letter, f"機{letter}", f"{letter}a"):
        with pytest.raises(Invalid, match="must not contain control characters"):
            Text(99).check(value, "it")
        assert not Text(99).acceptor()(value)


def test_bytes_that_are_no_text() -> None:
    """What Python makes of a byte of a command line that is no UTF-8 cannot be stored."""
    with pytest.raises(Invalid, match="it must be text in UTF-8"):
        Text(99).check("a\udcff", "it")
    assert not Text(99).acceptor()("a\udcff")


SAME_LOOKS = {
    "begin or end with a space": [" lab", "lab ", " "],
    "the invisible character U+": [
        *("lab\u200b", "\ufefflab", "la\u00adb", "l\u00a0b", "\u3164", "lab\ufe0f"),
        *("a\u2028b", "\u202elab", "lab\U000e0001"),
    ],
    "Unicode's normal form NFC": ["Gro\u0308\u00dfe", "\u212bngstrom", "\u1112\u1161\u11ab"],
}
"""What is wrong → texts that look like others."""


def test_what_looks_the_same_is_the_same() -> None:
    """Owners have one spelling: others that look like it are refused; other texts may have any."""
    for problem, values in SAME_LOOKS.items():
        for value in values:
            with pytest.raises(Invalid, match=f"it must .*{re.escape(problem)}"):
                checks.OWNER.check(value, "it")
            assert not checks.OWNER.acceptor()(value)
            assert checks.LABEL.check(value, "it") == value
            is_shown = re.search(_pattern_of(checks.OWNER), value) is None
            assert is_shown or "NFC" in problem or value[-1] > "\uffff"
    for value in ("lab", "lab 7", "Größe", "機", "한", "lab-7/x:y", "😀", "**"):
        assert checks.OWNER.check(value, "it") == value
        assert checks.OWNER.acceptor()(value)
        assert re.search(_pattern_of(checks.OWNER), value)


def test_the_owner_that_stands_for_all_is_nobody() -> None:
    """`*` is no owner, by check, acceptor and pattern; limits, weights and keys may be of it."""
    with pytest.raises(Invalid, match=r"it must not be '\*', which stands for every owner"):
        checks.OWNER.check("*", "it")
    assert not checks.OWNER.acceptor()("*")
    assert not re.search(_pattern_of(checks.OWNER), "*")
    assert checks.OWNER_OR_ALL.check("*", "it") == "*"
    assert checks.OWNER_OR_ALL.acceptor()("*")
    assert re.search(_pattern_of(checks.OWNER_OR_ALL), "*")


def _pattern_of(rule: Text) -> str:
    schema = rule.meta().extra_json_schema or {}
    return str(schema["pattern"]).replace("$", r"\Z")


@pytest.mark.parametrize("value", [0, 5, MAX_WHOLE])
def test_whole_numbers(value: int) -> None:
    """Both ends of the range are in it."""
    assert checks.whole_number(value, "it") == value
    assert checks.whole_number(-value, "it", -MAX_WHOLE) == -value
    assert checks.whole_number(7, "it", 7, 7) == 7


@pytest.mark.parametrize("value", [-1, 2**53, True, 1.0, "1", None, [], Number("1.0")])
def test_what_is_no_whole_number(value: object) -> None:
    """Booleans, floats, strings and what lies outside are none."""
    with pytest.raises(Invalid, match="it must be"):
        checks.whole_number(value, "it")


def test_amounts_are_checked_again_after_a_refusal() -> None:
    """A resource name once seen as bad or good stays so: the cache keeps verdicts, not errors."""
    for _ in range(2):
        assert convert({"capacity": {"VCPU": 1, "機": 0}}, NewHost).capacity == {"VCPU": 1, "機": 0}
        with pytest.raises(Invalid, match="capacity: the resource name"):
            convert({"capacity": {"VCPU": 1, "a/b": 0}}, NewHost)


def test_long_values_are_shown_short() -> None:
    """A sentence quotes no more than the beginning of what it refuses."""
    with pytest.raises(Invalid) as refused:
        checks.boolean("x" * 10_000, "it")
    assert len(str(refused.value)) < 120


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    """The sentence says what would have been right."""
    checks.refuse_unknown({"a": 1}, ("a", "b"), "the field")
    with pytest.raises(Invalid, match='the field "c" is not known; known are a, b'):
        checks.refuse_unknown({"a": 1, "c": 1}, ("a", "b"), "the field")
