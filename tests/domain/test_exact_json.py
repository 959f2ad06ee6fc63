"""JSON that keeps every digit."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.errors import Unreadable
from rq_broker.domain.exact_json import Number, dumps, loads


class Token(str):
    """A number's text, never equal to a string of the same letters."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and str.__eq__(self, other)


def tokens(text: str) -> object:
    """Parse with every number left as it was written."""
    return json.loads(text, parse_int=Token, parse_float=Token)


digits = st.from_regex(r"[1-9][0-9]{0,30}|0", fullmatch=True)
fraction = st.from_regex(r"(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
numbers = st.builds(lambda *parts: "".join(parts), st.sampled_from(["", "-"]), digits, fraction)
strings = st.text(st.characters(exclude_categories=["Cs"])).map(json.dumps) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\')
).map(lambda text: f'"{text}"')
spaces = st.sampled_from(["", " ", "\n", "\t "])


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arrays and objects of these texts, with odd spacing."""
    pairs = st.dictionaries(strings, inner, max_size=4).map(
        lambda found: [f"{key} :{value}" for key, value in found.items()]
    )
    return st.one_of(
        st.tuples(st.lists(inner, max_size=4), spaces).map(
            lambda found: f"[{found[1]}{(',' + found[1]).join(found[0])}]"
        ),
        pairs.map(lambda found: f"{{{','.join(found)}}}"),
    )


documents = st.recursive(
    numbers | strings | st.sampled_from(["true", "false", "null"]), containers, max_leaves=12
)


def has_a_key_twice(text: str) -> bool:
    """Tell by the standard library alone."""
    sizes: list[bool] = []
    json.loads(text, object_pairs_hook=lambda found: sizes.append(len(dict(found)) < len(found)))
    return any(sizes)


@given(documents)
def test_every_digit_is_kept(text: str) -> None:
    """Any JSON comes back with each number as it was written, or is refused for a key twice."""
    if has_a_key_twice(text):
        with pytest.raises(Unreadable, match="given twice"):
            loads(text.encode())
    else:
        assert tokens(dumps(loads(text.encode()))) == tokens(text)


@given(documents)
def test_both_paths_agree(text: str) -> None:
    """A body that may take the fast path means the same on the slow one."""
    slow = text.encode() + b" " * 3
    escaped = b'{"\\u0061":' + slow + b"}"
    plain = b'{"a":' + slow + b"}"
    try:
        fast = loads(plain)
    except Unreadable:
        with pytest.raises(Unreadable):
            loads(escaped)
    else:
        assert dumps(loads(escaped)) == dumps(fast)


@pytest.mark.parametrize(
    "text",
    [
        "1.50",
        "-0",
        "-0.0",
        "1e400",
        "1E5",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1" * 5000,
        "0.1000000000000000055511151231257827",
    ],
)
@pytest.mark.parametrize("form", ["%s", '{"a":%s}', "[1,%s]", '{"a": \t\n%s }'])
def test_numbers_no_machine_number_says(text: str, form: str) -> None:
    """Fractions, exponents, -0 and integers beyond 64 bits stay as written wherever they stand."""
    assert dumps(loads((form % text).encode())) == "".join((form % text).split())


@pytest.mark.parametrize("text", ["18446744073709551615", "-9223372036854775808", "0", "-1"])
def test_64_bit_integers_are_integers(text: str) -> None:
    """Integers within 64 bits are plain ints, so that they can be checked as numbers."""
    assert type(loads(text.encode())) is int
    assert type(loads(f'{{"a\\n":{text}}}'.encode())["a\n"]) is int


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    """Rendering is compact, with sorted keys at every depth."""
    assert dumps(loads(b'{"b": {"z": 1, "a": 1.0}, "a": []}')) == '{"a":[],"b":{"a":1.0,"z":1}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"x":{"a":1,"b":2,"a":1}}',
        b'{"a\\n":1,"a\\n":1}',
        b'{"\\u0061":1,"a":1}',
        b'{"a":1,"a":"\\u0022\\u0022"}',
    ],
)
def test_a_key_given_twice_is_refused_by_name(body: bytes) -> None:
    """Equal keys of one object are refused and named, however differently they are spelled."""
    with pytest.raises(Unreadable, match=r"the key 'a(\\n)?' is given twice"):
        loads(body)


def test_the_same_key_in_two_objects_is_fine() -> None:
    """Only keys of one object clash."""
    assert loads(b'[{"a":1},{"a":1}]') == [{"a": 1}, {"a": 1}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b'{"a":1.5,"b":NaN}',
        b"[01]",
        b"[1.]",
        b"\xff",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'"a\nb"',
        b'{"a":1}{"b":2}',
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """NaN, lone surrogates, other encodings and plain garbage are refused as unreadable."""
    with pytest.raises(Unreadable):
        loads(body)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (rb'{"owner_id":"\ud800"}', "owner_id has"),
        (rb'{"data":{"a":[1,{"note":"\udc00x"}]}}', r"data\.a\[1\]\.note has"),
        (rb'{"data":{"\ud800":1}}', "a key of data has"),
        (rb'["\ud800"]', r"\[0\] has"),
    ],
)
def test_half_of_a_character_is_named_by_its_place(body: bytes, place: str) -> None:
    """A lone surrogate is told by the field that has it, not in the words of a library."""
    with pytest.raises(Unreadable, match=f"^{place} half of a surrogate pair"):
        loads(body)


@pytest.mark.parametrize("depth", [300, 1100, 100_000])
@pytest.mark.parametrize("leaf", [b"1", b"1.5", b'"\\n"'])
def test_deep_nesting_is_refused(depth: int, leaf: bytes) -> None:
    """Nesting that could not be written again is refused on both paths, without RecursionError."""
    with pytest.raises(Unreadable):
        loads(b"[" * depth + leaf + b"]" * depth)


def test_a_huge_object_with_one_double_key_is_refused_quickly() -> None:
    """Finding the double key costs no more than one look at each."""
    keys = ",".join(f'"k{number}":1' for number in range(50_000))
    with pytest.raises(Unreadable, match="'k49999'"):
        loads(f'{{{keys},"k49999":2}}'.encode())


def test_plain_bodies_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An everyday body, its URL with an address and a port, never meets the slow parser."""
    monkeypatch.setattr("rq_broker.domain.exact_json._parse_exactly", None)
    body = orjson.dumps(
        {"callback": "http://127.0.0.1:8000/e.5", "data": {"VCPU": [16, -3, 2**53]}}
    )
    assert loads(body) == orjson.loads(body)


def test_numbers_are_written_where_they_stand() -> None:
    """A Number renders as its text, not as a string or an object."""
    assert dumps({"a": Number("1.500")}) == '{"a":1.500}'
