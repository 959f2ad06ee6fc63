"""Writes the Lua of a contract: a local for each argument, and the order of the reply."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rq_broker.store.contracts.header import SCALARS, ContractError, Field

_UNPACK_LIMIT = 500
"""Values that Lua's `unpack` is given at most: it fails near 8,000."""


def arguments(
    verb: str, fields: Sequence[Field], *, keeps_time: bool = False, is_audited: bool = False
) -> str:
    """Write the Lua that names each argument, and refuses too few or too many of them.

    Args:
        verb: The script's name.
        fields: The arguments that its header declares.
        keeps_time: Whether one more may stand at the end: `believed`, the type's time as the
            caller knows it, ms.
        is_audited: Whether three more may stand behind that: who makes the change, from which
            address, and in which HTTP request.
    """
    scalars = [field for field in fields if field.type in SCALARS]
    lines = ["", "-- The arguments, in the order the header declares them.", *_NUMBER]
    for number, field in enumerate(scalars, 1):
        lines.append(f"local {field.name} = {_scalar(field, f'ARGV[{number}]')}")
    lines.append(f"local next_argument = {len(scalars) + 1}")
    for field in fields[len(scalars) :]:
        lines += [f"local {field.name}", *_collection(field, field.name)]
    if keeps_time:
        lines += [
            "local believed = tonumber(ARGV[next_argument] or '')",
            "next_argument = math.max(next_argument, math.min(next_argument + 1, #ARGV + 1))",
        ]
    if is_audited:
        lines += [
            "local actor",
            "if ARGV[next_argument] then",
            "  actor = { ARGV[next_argument], ARGV[next_argument + 1], ARGV[next_argument + 2] }",
            "  acting = actor[1]",  # a local of lua/lib/base
            "  next_argument = next_argument + 3",
            "end",
        ]
    lines += [
        "if next_argument ~= #ARGV + 1 or not all_numbers_whole then",
        f"  return redis.error_reply('ERR the arguments are not those {verb} declares')",
        "end",
    ]
    return "\n".join(lines) + "\n"


_NUMBER = (
    "local all_numbers_whole = true",
    "local function no_number()",
    "  all_numbers_whole = false",
    "end",
)
"""A script that computed with a malformed number would stop where it does so, half-way."""


def _scalar(field: Field, text: str) -> str:
    if field.type == "integer":
        checked = f"tonumber({text}) or no_number()"
        return f"{text} ~= '' and ({checked}) or nil" if field.optional else checked
    if field.type == "flag":
        return f"{text} == '1'"
    return f"{text} ~= '' and {text} or nil" if field.optional else text


def _collection(field: Field, table: str) -> list[str]:
    """Read a count and then its values into a table; a count that is missing reads as 0."""
    if field.type == "rows":
        values = _rows(field, table)
    elif field.type == "amounts":
        values = [
            f"  {table} = {{}}",
            "  for i = next_argument + 1, next_argument + 2 * count, 2 do",
            f"    {table}[ARGV[i] or ''] = tonumber(ARGV[i + 1]) or no_number()",
            "  end",
            "  next_argument = next_argument + 1 + 2 * count",
        ]
    else:
        length = "2 * count" if field.type == "fields" else "count"
        values = [
            f"  local last_argument = next_argument + {length}",
            *_slice(field, table),
            "  next_argument = last_argument + 1",
        ]
    return ["do", "  local count = tonumber(ARGV[next_argument]) or 0", *values, "end"]


def _slice(field: Field, table: str) -> list[str]:
    """Copy the arguments up to the last: by unpack, the fastest way, unless there are too many."""
    if field.type == "integers":
        return [
            f"  {table} = {{}}",
            "  for i = next_argument + 1, last_argument do",
            f"    {table}[i - next_argument] = tonumber(ARGV[i]) or no_number()",
            "  end",
        ]
    return [
        "  if count == 0 then",
        f"    {table} = {{}}",
        f"  elseif last_argument - next_argument <= {_UNPACK_LIMIT} then",
        f"    {table} = {{ unpack(ARGV, next_argument + 1, last_argument) }}",
        "  else",
        f"    {table} = {{}}",
        "    for i = next_argument + 1, last_argument do",
        f"      {table}[i - next_argument] = ARGV[i]",
        "    end",
        "  end",
    ]


def _rows(field: Field, table: str) -> list[str]:
    scalars = [member for member in field.members if member.type in SCALARS]
    lines = ["local row = {"]
    for number, member in enumerate(scalars):
        lines.append(f"  {member.name} = {_scalar(member, f'ARGV[next_argument + {number}]')},")
    collections = field.members[len(scalars) :]
    lines += [f"  {member.name} = false," for member in collections]  # makes room in the table
    lines += ["}", f"next_argument = next_argument + {len(scalars)}"]
    for member in collections:
        lines += _collection(member, f"row.{member.name}")
    lines.append(f"{table}[number] = row")
    return [
        f"  {table} = {{}}",
        "  next_argument = next_argument + 1",
        "  for number = 1, count do",
        *(f"    {line}" for line in lines),
        "  end",
    ]


def reply_functions(fields: Sequence[Field]) -> str:
    """Write a Lua function for each list of rows in a reply: it puts their values in order."""
    lines = []
    for field in fields:
        if field.type == "rows":
            members = ", ".join(_value(member, f"row.{member.name}") for member in field.members)
            lines += [
                "",
                f"local function {field.name}_in_order(rows)",
                "  local ordered = {}",
                "  for i, row in ipairs(rows) do",
                f"    ordered[i] = {{ {members} }}",
                "  end",
                "  return ordered",
                "end",
            ]
    return "\n".join([*lines, ""]) if lines else ""


_REPLY = re.compile(r"\breply\(\{")
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[({\[]|[)}\]]|,|[^'({\[)}\],]+")


def expand_replies(body: str, fields: Sequence[Field]) -> str:
    """Put the values of each `reply({ name = value, ... })` in the order declared.

    This is done in the text, because a table of names would be made and thrown away in each call.

    Raises:
        ContractError: A reply does not name exactly the values declared.
    """
    expanded, end = [], 0
    for match in _REPLY.finditer(body):
        values, after = _named_values(body, match.end())
        if sorted(values) != sorted(field.name for field in fields):
            raise ContractError(f"a reply names {sorted(values)}, not what is declared")
        items = ", ".join(_value(field, values[field.name]) for field in fields)
        expanded += [body[end : match.start()], f"{{ {items} }}"]
        end = after
    return "".join((*expanded, body[end:]))


def _named_values(body: str, start: int) -> tuple[dict[str, str], int]:
    """Read `name = value, ... })`; returns the values by name, and where the text goes on."""
    items, depth, position = [""], 1, start
    while depth:
        token = _TOKEN.match(body, position)
        if not token:
            raise ContractError(f"a reply does not end: {body[start : start + 80]}")
        position = token.end()
        depth += (token[0] in "({[") - (token[0] in ")}]")
        if token[0] == "," and depth == 1:
            items.append("")
        elif depth:
            items[-1] += token[0]
    named = [item.partition("=") for item in items if item.strip()]
    return {name.strip(): value.strip() for name, _, value in named}, position + len(")")


def _value(field: Field, value: str) -> str:
    """Write one value of a reply as its type is replied; the empty text stands for nil."""
    operand = value if re.fullmatch(r"[\w.]+", value) else f"({value})"
    if field.type == "rows":
        return f"{field.name}_in_order({value})"
    if field.type == "flag":
        return f"{operand} and 1 or 0"
    if field.optional:
        number = f"tonumber({operand} or '')" if field.type == "integer" else operand
        return f"{number} or ''"
    return f"tonumber({value})" if field.type == "integer" else value
