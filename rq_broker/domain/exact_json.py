"""JSON that keeps every digit it came with, or is refused; never changed.

orjson turns integers beyond 64 bits into floats and 1.50 into 1.5, and keeps the last of two equal
keys without a word. So its result counts only where it writes the same text back, spaces aside. Any
other body is read by the standard library, with hooks that keep or refuse.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from rq_broker.domain.errors import Unreadable

_SPACES = b" \t\r\n"

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_INT64, _UINT64 = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """A number kept as it was written, because no machine number says the same."""

    text: str


def loads(body: bytes) -> Any:
    """Parse a body; numbers that are not 64-bit integers come back as `Number`.

    Raises Unreadable for what is no JSON, for NaN and Infinity, for a key given twice in one
    object, for lone surrogates, and for nesting deeper than `dumps` can write.
    """
    if not body:
        raise Unreadable("the body is empty; it must be a JSON object")
    try:
        value = orjson.loads(body)
        written = orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _exact(body)
    # Both are JSON: if they differ in spaces only, they have the same tokens in the same order.
    same = written == body or written.translate(None, _SPACES) == body.translate(None, _SPACES)
    return value if same else _exact(body)


def dumps(value: Any) -> str:
    """Render compact JSON with sorted keys, `Number`s as they were written."""
    return _rendered(value).decode()


def _rendered(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_verbatim, option=_OPTIONS)
    except orjson.JSONEncodeError as reason:
        raise Unreadable(f"the body cannot be kept as it is: {reason}") from None


def _verbatim(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _exact(body: bytes) -> Any:
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as reason:
        raise Unreadable(f"the body is not JSON: {reason}") from None
    _rendered(value)
    return value


def _integer(text: str) -> int | Number:
    if len(text) > 20 or text == "-0":
        return Number(text)
    value = int(text)
    return value if _INT64 <= value <= _UINT64 else Number(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Unreadable(f"the key {twice!r} is given twice in one object")
    return value


def _constant(text: str) -> NoReturn:
    raise Unreadable(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=Number,
    parse_constant=_constant,
)
