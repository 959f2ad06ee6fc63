"""Writes the Lua of a contract: a local for each argument, and the order of the reply."""

from __future__ import annotations

from collections.abc import Sequence

from rq_broker.store.contracts.header import SCALARS, Field


def arguments(verb: str, fields: Sequence[Field]) -> str:
    """Write the Lua that names each argument, and refuses too few or too many of them."""
    scalars = [field for field in fields if field.type in SCALARS]
    lines = ["", "-- The arguments, in the order the header declares them."]
    for number, field in enumerate(scalars, 1):
        lines.append(f"local {field.name} = {_scalar(field, f'ARGV[{number}]')}")
    lines.append(f"local next_argument = {len(scalars) + 1}")
    for field in fields[len(scalars) :]:
        lines += [f"local {field.name} = {{}}", *_collection(field, field.name)]
    lines += [
        "if next_argument ~= #ARGV + 1 then",
        f"  return redis.error_reply('ERR the arguments are not those {verb} declares')",
        "end",
    ]
    return "\n".join(lines) + "\n"


def _scalar(field: Field, text: str) -> str:
    if field.type == "integer":
        return f"tonumber({text})"
    if field.type == "flag":
        return f"{text} == '1'"
    return f"{text} ~= '' and {text} or nil" if field.optional else text


def _collection(field: Field, table: str) -> list[str]:
    """Read a count and then its values into a table; a count that is missing reads as 0."""
    if field.type == "rows":
        values = _rows(field, table)
    elif field.type == "amounts":
        values = [
            "  for i = next_argument + 1, next_argument + 2 * count, 2 do",
            f"    {table}[ARGV[i] or ''] = tonumber(ARGV[i + 1])",
            "  end",
            "  next_argument = next_argument + 1 + 2 * count",
        ]
    else:
        item = "ARGV[next_argument + i]"
        values = [
            *(["  count = 2 * count"] if field.type == "fields" else []),
            "  for i = 1, count do",
            f"    {table}[i] = {f'tonumber({item})' if field.type == 'integers' else item}",
            "  end",
            "  next_argument = next_argument + 1 + count",
        ]
    return ["do", "  local count = tonumber(ARGV[next_argument]) or 0", *values, "end"]


def _rows(field: Field, table: str) -> list[str]:
    scalars = [member for member in field.members if member.type in SCALARS]
    lines = ["local row = {"]
    for number, member in enumerate(scalars):
        lines.append(f"  {member.name} = {_scalar(member, f'ARGV[next_argument + {number}]')},")
    lines += ["}", f"next_argument = next_argument + {len(scalars)}"]
    for member in field.members[len(scalars) :]:
        lines += [f"row.{member.name} = {{}}", *_collection(member, f"row.{member.name}")]
    lines.append(f"{table}[number] = row")
    return [
        "  next_argument = next_argument + 1",
        "  for number = 1, count do",
        *(f"    {line}" for line in lines),
        "  end",
    ]


def reply(fields: Sequence[Field]) -> str:
    """Write the Lua function that puts the values of a reply in the order declared."""
    if not fields:
        return ""
    loops: list[str] = []
    items = []
    for field in fields:
        if field.type == "rows":
            items.append(field.name)
            members = ", ".join(_value(member, "row") for member in field.members)
            loops += [
                f"  local {field.name} = {{}}",
                f"  for i, row in ipairs(values.{field.name}) do",
                f"    {field.name}[i] = {{ {members} }}",
                "  end",
            ]
        else:
            items.append(_value(field, "values"))
    listed = ",\n    ".join(items)
    return "\n".join(
        [
            "",
            "-- The reply, in the order the header declares it.",
            "local function reply(values)",
            *loops,
            f"  return {{\n    {listed},\n  }}",
            "end",
            "",
        ]
    )


def _value(field: Field, table: str) -> str:
    value = f"{table}.{field.name}"
    if field.type == "flag":
        return f"{value} and 1 or 0"
    if field.type == "integer":
        return f"tonumber({value} or '') or ''" if field.optional else f"tonumber({value})"
    return f"{value} or ''" if field.optional else value
