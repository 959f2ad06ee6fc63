"""JSON whose numbers keep every digit.

orjson turns integers beyond 64 bits into floats and 1.50 into 1.5, and of two equal keys it keeps
the last without an error. So its result is used only if it renders to the same text, white space
aside. Any other body is parsed by the standard library, with hooks that keep or refuse.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

import msgspec
import orjson

from rq_broker.domain.errors import Unreadable

_WHITE_SPACE = b" \t\r\n"
_OPTIONS = orjson.OPT_SORT_KEYS
_INT64, _UINT64 = -(2**63), 2**64 - 1


_DEEPEST = 254
"""Levels of lists and objects that orjson renders."""
_PLAIN_BRACKETS = 250
"""Brackets up to which a body cannot be nested deeper than that."""
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SHOWN_CHARACTERS = 60
"""How much of a place a sentence repeats."""
_TOO_DEEP = f"the body is nested too deep: at most {_DEEPEST} lists and objects within each other"


class Number(msgspec.Struct, frozen=True, gc=False):
    """A number kept as it was written, because no int or float renders to the same text.

    A body may consist of 300,000 of these. A dataclass takes four times as long to create, and the
    garbage collector would visit each.
    """

    text: str


def loads(body: bytes) -> Any:
    """Parse JSON. A number whose text would change becomes a `Number`.

    Raises:
        Unreadable: The body is not JSON, or has NaN, Infinity, a lone surrogate, a key twice in one
            object, or deeper nesting than `dumps` can render.
    """
    if not body:
        raise Unreadable("the body is empty; it must be a JSON object")
    try:
        value = orjson.loads(body)
        written = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _parse_exactly(body)
    # Two JSON texts that differ in white space only have the same tokens in the same order.
    is_exact = written == body or _compact(written) == _compact(body)
    return value if is_exact else _parse_exactly(body)


def _compact(text: bytes) -> bytes:
    return text.translate(None, _WHITE_SPACE)


def dumps(value: Any) -> str:
    """Render compact JSON with sorted keys. A `Number` is rendered as its text."""
    return _render(value).decode()


def _render(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_number, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        if "Recursion" in str(error):
            raise Unreadable(_TOO_DEEP) from None
        if place := _lone_surrogate(value):
            raise Unreadable(
                f"{place} has half of a surrogate pair (\\ud800 to \\udfff), which is no character"
            ) from None
        raise Unreadable(f"the body cannot be kept exactly: {error}") from None


def _lone_surrogate(value: Any) -> str:
    """Name the first text that has no UTF-8, as sentences call it; '' if there is none."""
    # A step has its parent, not the whole place: a body may have 300,000 texts far down in it.
    rest: list[tuple[Any, Any]] = [(None, value)]
    while rest:
        steps, part = rest.pop()
        if isinstance(part, str) and not _is_writable(part):
            return _place(steps)
        if isinstance(part, dict):
            if not all(map(_is_writable, part)):
                return f"a key of {_place(steps)}"
            rest += [((steps, f".{key}"), part[key]) for key in reversed(part)]
        elif isinstance(part, list):
            rest += [((steps, f"[{n}]"), part[n]) for n in reversed(range(len(part)))]
    return ""


def _place(steps: Any) -> str:
    words: list[str] = []
    while steps:
        steps, word = steps
        words.insert(0, word)
    place = "".join(words).removeprefix(".") or "the body"
    return place if len(place) <= _SHOWN_CHARACTERS else f"{place[:_SHOWN_CHARACTERS]}…"


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _parse_exactly(body: bytes) -> Any:
    if body.startswith(_BYTE_ORDER_MARKS):
        raise Unreadable("the body begins with a byte order mark (BOM): send UTF-8 without one")
    try:
        value = _DECODER.decode(body.decode())
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    except UnicodeDecodeError as error:
        wrong = f"the byte 0x{body[error.start]:02x} at {error.start}"
        raise Unreadable(f"the body is not JSON: {wrong} is no text in UTF-8") from None
    except ValueError as error:
        raise Unreadable(f"the body is not JSON: {error}") from None
    # Only these could make it impossible to render.
    if b"\\u" in body or body.count(b"[") + body.count(b"{") > _PLAIN_BRACKETS:
        _render(value)
    return value


def _integer(text: str) -> int | Number:
    if len(text) > 20 or text == "-0":
        return Number(text)
    value = int(text)
    return value if _INT64 <= value <= _UINT64 else Number(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        duplicate = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Unreadable(f"the key {duplicate!r} is given twice in one object")
    return value


def _constant(text: str) -> NoReturn:
    raise Unreadable(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=Number,
    parse_constant=_constant,
)
