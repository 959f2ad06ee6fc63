"""Writes the Lua of a contract: a local for each argument, and the order of the reply."""

from __future__ import annotations

from collections.abc import Sequence

from rq_broker.store.contracts.header import SCALARS, Field


def arguments(verb: str, fields: Sequence[Field]) -> str:
    """Write the Lua that gives each argument a local of its name."""
    scalars = [field for field in fields if field.type in SCALARS]
    collections = fields[len(scalars) :]
    lines = ["", "-- The arguments, in the order the header declares them."]
    for number, field in enumerate(scalars, 1):
        lines.append(f"local {field.name} = {_scalar(field, f'ARGV[{number}]')}")
    if collections:
        lines.append(f"last_argument = {len(scalars)}")
    for field in collections:
        lines += _collection(field)
    read = "last_argument" if collections else f"{len(scalars)}"
    lines += [
        f"if #ARGV ~= {read} then",
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


def _collection(field: Field) -> list[str]:
    if field.type != "rows":
        return [f"local {field.name} = next_{field.type}()"]
    members = [f"    {member.name} = {_member(member)}," for member in field.members]
    return [
        f"local {field.name} = {{}}",
        "for i = 1, next_count() do",
        f"  {field.name}[i] = {{",
        *members,
        "  }",
        "end",
    ]


def _member(field: Field) -> str:
    if field.type == "string" and field.optional:
        return "next_optional()"
    kind = "string" if field.type == "decimal" else field.type
    return f"next_{kind}()"


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
        return f"{value} and whole({value}) or ''" if field.optional else f"whole({value})"
    return f"{value} or ''" if field.optional else value
