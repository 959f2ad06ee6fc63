"""Values and their types: what fits is converted, what does not is named."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given, strategies as st
from msgspec import Meta, Struct

from rq_broker.domain import decoding
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import Number
from rq_broker.domain.mismatch import refuse
from rq_broker.domain.validation import Count, Label, Name, Text


class Word(StrEnum):
    """Two words."""

    ONE = "one"
    TWO = "two"


class Inner(Struct):
    """A part of a whole."""

    name: Name
    amounts: Amounts | None = None


class Whole(Struct, forbid_unknown_fields=True):
    """A field of every kind that bodies have."""

    noun: ClassVar[str] = "the part"

    label: Label | None = None
    plain: Annotated[str, Meta(max_length=3)] | None = None
    flag: bool | None = None
    count: Count | None = None
    span: Annotated[float, Meta(ge=0, le=9, extra={"unit": "s"})] | None = None
    word: Word | None = None
    literal: Literal["a", "b"] | None = None
    only: Literal["a"] | None = None
    place: Annotated[int, Meta(ge=1)] | Word | None = None
    inner: Inner | None = None
    parts: Annotated[list[Inner], Meta(min_length=1, max_length=2)] | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "the body must be a JSON object, not null"),
        ([], "the body must be a JSON object, not []"),
        ({"lable": 1}, 'the part "lable" is not known; known are label, plain, flag'),
        ({"label": 5}, "label must be a string, not 5"),
        ({"label": ""}, "label must not be empty"),
        ({"label": "機" * 86}, "label must not be longer than 255 bytes"),
        ({"label": "a\x7f"}, "label must not contain control characters"),
        ({"plain": "four"}, "plain must be a string of at most 3 characters"),
        ({"plain": 4}, "plain must be a string, not 4"),
        ({"flag": 0}, "flag must be true or false, not 0"),
        ({"count": -1}, "count must be a whole number from 0 to 2^53−1, not -1"),
        ({"count": 2**53}, f"count must be a whole number from 0 to 2^53−1, not {2**53}"),
        ({"count": Number("1.0")}, "count must be a whole number from 0 to 2^53−1, not 1.0"),
        ({"count": Number("-0")}, "count must be a whole number from 0 to 2^53−1, not -0"),
        ({"span": "5"}, 'span must be seconds from 0 to 9, or null for without end, not "5"'),
        ({"span": Number("9.01")}, "span must be seconds from 0 to 9"),
        ({"span": True}, "span must be seconds from 0 to 9"),
        ({"word": "three"}, 'word must be one of one, two, not "three"'),
        ({"literal": "c"}, 'literal must be one of a, b, not "c"'),
        ({"only": "b"}, 'only must be "a" or null, not "b"'),
        ({"place": 0}, "place must be a whole number from 1 to 2^53−1, one or two, not 0"),
        (
            {"place": "middle"},
            'place must be a whole number from 1 to 2^53−1, one or two, not "middle"',
        ),
        ({"place": True}, "one or two, not true"),
        ({"inner": {}}, "inner.name is required"),
        ({"inner": {"name": None}}, "inner.name is required"),
        ({"inner": {"name": "."}}, "inner.name must not be '.', which no URL can name"),
        ({"inner": {"name": "a", "amounts": {"V": "1"}}}, "inner.amounts.V must be a whole number"),
        ({"inner": {"name": "a", "amounts": {"": 1}}}, 'inner.amounts: the resource name "" must'),
        ({"parts": {}}, "parts must be a list of 1 to 2 objects, not {}"),
        ({"parts": []}, "parts must be a list of 1 to 2 objects, not of 0"),
        ({"parts": [{"name": "a"}] * 3}, "not of 3"),
        ({"parts": [{"name": "a"}, 5]}, "parts[1] must be a JSON object, not 5"),
        ({"parts": [{"name": "a"}, {"name": "a/b"}]}, "parts[1].name must not contain '/'"),
        ({"parts": [None]}, "parts[0] is required"),
    ],
)
def test_the_first_part_that_does_not_fit_is_named(body: Any, sentence: str) -> None:
    """A sentence has the path of the part, what it must be, and what came."""
    with pytest.raises(Invalid) as refused:
        convert(body, Whole)
    assert sentence in str(refused.value)


def test_what_fits_is_converted() -> None:
    """Null counts as left out, and a number kept as text may be a span."""
    body = {"span": Number("1.50"), "word": "two", "place": 3, "inner": None, "label": None}
    whole = convert(body, Whole)
    assert (whole.span, whole.word, whole.place, whole.inner) == (1.5, Word.TWO, 3, None)
    assert convert({"place": "one"}, Whole).place is Word.ONE
    assert convert({"anything": [{"x": Number("1.0")}]}, Whole).anything


def sentence(body: Any, type_: type[Struct]) -> str:
    """Convert a body; returns the sentence that refuses it, '' if none does."""
    try:
        convert(body, type_)
    except Invalid as refused:
        return str(refused)
    return ""


class Hidden(Struct, forbid_unknown_fields=True):
    """Fields that may be secrets."""

    secret: ClassVar[bool] = True

    text: Label
    count: Count
    flag: bool
    word: Word
    words: list[Annotated[str, Meta(max_length=9)]]
    span: Annotated[float, Meta(ge=0, le=9)]
    inner: Inner


HIDDEN: dict[str, Any] = {
    "text": "a",
    "count": 1,
    "flag": True,
    "word": "one",
    "words": [],
    "span": 1,
    "inner": {"name": "a"},
}
SECRETS: list[Any] = [
    "s3cret",
    ["s3cret"],
    {"s3cret": 1},
    {"name": {"s3cret": 1}},
    {"name": ["s3cret"]},
]
SECRETS += ["s3cret\n", "s3cret" * 50, [["s3cret"]], [5, "s3cret"], {"name": "s3cret/"}]
SECRETS += [{"name": "a", "amounts": {"s3cret\n": 1}}, {"name": "a", "amounts": {"s3cret": "x"}}]


@pytest.mark.parametrize("name", [*HIDDEN, "more"])
@pytest.mark.parametrize("value", SECRETS, ids=str)
def test_no_sentence_repeats_a_secret(name: str, value: Any) -> None:
    """Whatever stands in whichever field of a struct of secrets, a refusal does not show it."""
    assert "s3cret" not in sentence({**HIDDEN, name: value}, Hidden)
    for body in (value, {"s3cret": value}):
        assert "s3cret" not in sentence(body, Hidden)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "amounts", "", "a/b"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(Whole.__struct_fields__), json_values))
def test_whatever_is_refused_has_a_sentence(body: dict[str, Any]) -> None:
    """No mismatch that msgspec finds escapes the search for it: none ends in the last resort."""
    assert "is not valid" not in sentence(body, Whole)


def test_a_mismatch_that_cannot_be_found_is_refused_all_the_same() -> None:
    """Should msgspec judge otherwise than the search, its own words are given."""
    with pytest.raises(Invalid, match="the body is not valid: Expected `int`"):
        refuse({}, Whole, "the body", ValueError("Expected `int`"))


def test_a_type_remembers_no_more_keys_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented names are checked each time, and still accepted, once the memory is full."""
    monkeypatch.setattr(decoding, "_ACCEPTED_KEYS", 2)
    sizes: list[int] = []

    class Counted(set[str]):
        def update(self, *more: Any) -> None:
            super().update(*more)
            sizes.append(len(self))

    monkeypatch.setattr(decoding, "set", Counted, raising=False)
    check = decoding._entries_check(Text(9).acceptor(), None)
    assert check
    assert all(check({f"k{number}": 1}) for number in range(9))
    assert not check({"k" * 10: 1})
    assert sizes == [1, 2]
