"""Reads a script's header into a Contract."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

SCALARS = ("string", "integer", "decimal", "flag")
COLLECTIONS = ("strings", "integers", "fields", "amounts", "rows")

_SECTION = re.compile(r"--- (Keeps:|KEYS\[1\]|ARGV|Returns|Errors|Audit)(?: (.*))?")
_SECTIONS = ["", "Keeps", "KEYS[1]", "ARGV", "Returns", "Errors"]
"""What each header has, in this order."""
_FIELD = re.compile(r"---( {3}| {5})(\w+) +(\w+)(\??)(?: +(\S.*))?")
_CONTINUED = re.compile(r"--- {7,}(\S.*)")


@dataclass(frozen=True, slots=True)
class Field:
    """One declared value; `members` are those of a row of `rows`."""

    name: str
    type: str
    optional: bool
    text: str
    members: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """What a header says: `keeps` is the invariant, `errors` are the words of error replies."""

    sentence: str
    keeps: str
    key: str
    arguments: tuple[Field, ...]
    returns: tuple[Field, ...]
    errors: tuple[str, ...]
    audit: str = ""
    """What the lines in the audit log are of; '' for a script that writes none."""


class ContractError(Exception):
    """A header that cannot be read, or values that do not match it."""


def parse(header: str) -> Contract:
    """Read a header: a sentence, then Keeps, KEYS[1], ARGV, Returns and Errors, in this order.

    Behind them stands Audit, where the script writes lines in the audit log.
    """
    sections: dict[str, list[str]] = {"": []}
    label = ""
    for line in header.splitlines():
        section = _SECTION.fullmatch(line)
        if section:
            label = section[1].rstrip(":")
            if label in sections:
                raise ContractError(f"{label} stands twice")
            sections[label] = [section[2]] if section[2] else []
        else:
            sections[label].append(line)
    if [*sections] not in (_SECTIONS, [*_SECTIONS, "Audit"]):
        raise ContractError(f"sections are {[*sections]}")
    errors = _text(sections["Errors"])
    return Contract(
        sentence=_text(sections[""]),
        keeps=_text(sections["Keeps"]),
        key=_text(sections["KEYS[1]"]),
        arguments=_fields(sections["ARGV"]),
        returns=_fields(sections["Returns"]),
        errors=() if errors == "none" else tuple(errors.split(", ")),
        audit=_text(sections.get("Audit", ())),
    )


def _text(lines: Sequence[str]) -> str:
    return " ".join(line.removeprefix("---").strip() for line in lines)


def _fields(lines: Sequence[str]) -> tuple[Field, ...]:
    """Read a section of fields, one per line; members of rows stand two columns further in."""
    if _text(lines) == "none":
        return ()
    fields: list[Field] = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match and match[3] in SCALARS + COLLECTIONS:
            field = Field(match[2], match[3], bool(match[4]), match[5] or "")
            if len(match[1]) == 3:
                fields.append(field)
            else:
                fields[-1] = replace(fields[-1], members=(*fields[-1].members, field))
        elif fields and (continued := _CONTINUED.fullmatch(line)):
            fields[-1] = _continued(fields[-1], continued[1])
        else:
            raise ContractError(f"no field: {line}")
    _check(fields)
    return tuple(fields)


def _continued(field: Field, text: str) -> Field:
    if field.members:
        *others, last = field.members
        return replace(field, members=(*others, _continued(last, text)))
    return replace(field, text=f"{field.text} {text}")


def _check(fields: Sequence[Field]) -> None:
    scalars = [field.type in SCALARS for field in fields]
    if scalars != sorted(scalars, reverse=True):
        raise ContractError("a scalar stands behind a collection")
    for field in fields:
        if bool(field.members) != (field.type == "rows"):
            raise ContractError(f"{field.name}: rows have members, and nothing else has")
        if field.optional and field.type in (*COLLECTIONS, "flag"):
            raise ContractError(f"{field.name}: {field.type} cannot be optional")
        _check(field.members)
