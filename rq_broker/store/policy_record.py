"""The policy in Redis: the fields `policy:<name>` of a type's base hash, each a text.

The form of a field follows from its type: a span is milliseconds, a flag 1 or 0, a mapping JSON,
and null is ''. `share` is `owner`, or JSON that begins with `by` and `half_life` in seconds. A
field that is not there has its default, which the scripts know too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import orjson
from msgspec import inspect

from rq_broker.domain.policy import ROWS, Policy, Row
from rq_broker.domain.sharing import DEFAULT_HALF_LIFE, Share

_log = logging.getLogger(__name__)


class _Form(NamedTuple):
    render: Callable[[Any], str]
    parse: Callable[[str], Any]


def _span_text(seconds: float) -> str:
    """Write a span in whole ms; one above 0 stays above it."""
    return str(max(1, round(seconds * 1000)) if seconds > 0 else 0)


def _share_text(value: str | Share) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _share(text: str) -> str | Share:
    if not text.startswith("{"):
        return text
    fields = orjson.loads(text)
    return Share(**{name: fields[name] for name in Share.__struct_fields__ if name in fields})


_TEXT = _Form(str, str)
_FORMS: Mapping[type[inspect.Type], _Form] = {
    inspect.FloatType: _Form(_span_text, lambda text: int(text) / 1000),
    inspect.IntType: _Form(str, int),
    inspect.BoolType: _Form(lambda flag: "1" if flag else "0", lambda text: text == "1"),
    inspect.DictType: _Form(lambda value: orjson.dumps(value).decode(), orjson.loads),
    inspect.UnionType: _Form(_share_text, _share),
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
    """Read the policy out of the base hash; fields of a later version are left alone.

    A damaged field is logged and has its default, as it has for the scripts.
    """
    fields = {}
    for row in ROWS:
        text = base.get(f"policy:{row.name}")
        if text is not None:
            try:
                fields[row.name] = parse(row, text)
            except ValueError:
                _log.error("the policy field %s is damaged: %.100r", row.name, text)
    return Policy(**fields)


def parsed(name: str, text: str) -> Any:
    """Read one field by its name; the text itself if it is damaged, cut, or of another version."""
    row = _ROWS.get(name)
    try:
        return parse(row, text) if row else text
    except ValueError:
        return text


def pairs(changes: Mapping[str, object]) -> list[str]:
    """Write the fields to change as name, text, …, without the prefix."""
    return [text for name, value in changes.items() for text in (name, render(_ROWS[name], value))]


def stored_pairs(base: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return fields as name, text, … as scripts read them: out of the base hash, or the default."""
    return [
        text
        for name in names
        for text in (name, base.get(f"policy:{name}", render(_ROWS[name], _ROWS[name].default)))
    ]


def lua_defaults(rows: Iterable[Row] = ROWS) -> str:
    """Write the Lua table of the defaults, and that of a share, which lib/policy includes."""
    lines = [f"  {row.name} = {_quoted(render(row, row.default))},\n" for row in rows]
    half_life = f"local DEFAULT_HALF_LIFE = {DEFAULT_HALF_LIFE:.0f}\n"
    return "".join(("local POLICY_DEFAULTS = {\n", *lines, "}\n", half_life))


def lua_queue_limits_default() -> str:
    """Write the Lua constants of the default of `queue_limits`, which has an entry for all owners.

    Reading its text instead costs a submit 3 %.
    """
    (limit,) = Policy().queue_limits.values()
    return f"local DEFAULT_MOST_JOBS, DEFAULT_MOST_BYTES = {limit['jobs']}, {limit['bytes']}\n"


def lua_audit_log_default() -> str:
    """Write the Lua constant of the default of `audit_log`; the whole table costs time."""
    return f"local AUDIT_LOG_DEFAULT = {Policy().audit_log}\n"


def _quoted(text: str) -> str:
    """Write a Lua string; raises ValueError for what would need an escape."""
    if set(text) & set("'\\\r\n"):
        raise ValueError(f"the default {text!r} has to be escaped in Lua")
    return f"'{text}'"
