"""The policy in Redis: the fields `policy:<name>` of a type's base hash, each a text.

The form of a field follows from its type: a span is milliseconds, a flag 1 or 0, a mapping JSON,
and null is ''. A field that is not there has its default, which the scripts know too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from msgspec import inspect

from rq_broker.domain.policy import ROWS, Policy, Row


class _Form(NamedTuple):
    render: Callable[[Any], str]
    parse: Callable[[str], Any]


_TEXT = _Form(str, str)
_FORMS: Mapping[type[inspect.Type], _Form] = {
    inspect.FloatType: _Form(
        lambda seconds: str(round(seconds * 1000)), lambda text: int(text) / 1000
    ),
    inspect.IntType: _Form(str, int),
    inspect.BoolType: _Form(lambda flag: "1" if flag else "0", lambda text: text == "1"),
    inspect.DictType: _Form(lambda value: orjson.dumps(value).decode(), orjson.loads),
}
"""How a value of a type is written; words are written as they are."""


def render(row: Row, value: Any) -> str:
    """Write one field as the hash holds it."""
    return "" if value is None else _form(row).render(value)


def parse(row: Row, text: str) -> Any:
    """Read one field; raises ValueError for a text that is none of its values."""
    if not text and (row.nullable or row.is_mapping):
        return {} if row.is_mapping else None
    return _form(row).parse(text)


def _form(row: Row) -> _Form:
    return _FORMS.get(type(row.kind), _TEXT)


_ROWS = {row.name: row for row in ROWS}


def policy(base: Mapping[str, str]) -> Policy:
    """Read the policy out of the base hash; fields of a later version are left alone."""
    texts = [(row, base.get(f"policy:{row.name}")) for row in ROWS]
    return Policy(**{row.name: parse(row, text) for row, text in texts if text is not None})


def pairs(changes: Mapping[str, object]) -> list[str]:
    """Write the fields to change as name, text, …, without the prefix."""
    return [text for name, value in changes.items() for text in (name, render(_ROWS[name], value))]


def lua_defaults(rows: Iterable[Row] = ROWS) -> str:
    """Write the Lua table of the defaults, which lib/policy includes."""
    lines = [f"  {row.name} = {_quoted(render(row, row.default))},\n" for row in rows]
    return "".join(("local POLICY_DEFAULTS = {\n", *lines, "}\n"))


def _quoted(text: str) -> str:
    """Write a Lua string; raises ValueError for what would need an escape."""
    if set(text) & set("'\\\r\n"):
        raise ValueError(f"the default {text!r} has to be escaped in Lua")
    return f"'{text}'"
