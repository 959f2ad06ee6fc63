"""Between Redis hashes and frozen values: how a record reads and is written, see keys.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rq_broker.keys import unfold
from rq_broker.models import Head, Host, Job, Policy, Shape, Status, Waiting


def pairs(flat: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Read a script's flat field/value reply, or the mapping a plain HGETALL answers."""
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def job(type_: str, request_id: str, priority: str, position: str, flat: Sequence[str]) -> Job:
    """Read a job hash; `position` is \'\' unless the job is queued."""
    fields = pairs(flat)
    created = int(fields["created"])
    return Job(
        id=int(fields["id"]),
        type=type_,
        request_id=request_id,
        owner_id=fields["owner"],
        data=unfold(fields, "data"),
        callback=unfold(fields, "callback"),
        priority=int(priority),
        status=Status(fields["status"]),
        created=created,
        updated=int(fields.get("updated", created)),
        shape=fields["shape"],
        position=int(position) if position else None,
        hosts=tuple(orjson.loads(fields.get("hosts", "[]"))),
        fence=int(fields["fence"]) if "fence" in fields else None,
        attempts=int(fields.get("attempts", 0)),
        error=fields.get("error"),
    )


def host(name: str, fields: Mapping[str, str]) -> Host:
    """Read a host hash."""
    amounts: dict[str, dict[str, int]] = {"capacity": {}, "used": {}, "held": {}}
    for field, text in fields.items():
        kind, _, resource = field.partition(":")
        if resource:
            amounts[kind][resource] = int(text)
    aggregates = frozenset(orjson.loads(fields.get("aggregates", "[]")))
    return Host(name, **amounts, aggregates=aggregates, dropped="dropped" in fields)


_SPANS = {"patience", "offer", "running", "retention"}


def policy_text(name: str, value: Any) -> str:
    """Render one policy field as the base hash holds it: spans in ms, '' for None."""
    if value is None:
        return ""
    if name in _SPANS:
        return str(round(value * 1000))
    if name == "paused":
        return "1" if value else "0"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def policy(base: Mapping[str, str]) -> Policy:
    """Read the policy out of the base hash."""
    fields: dict[str, Any] = {}
    for key, text in base.items():
        kind, _, name = key.partition(":")
        if kind != "policy":
            continue
        if name in _SPANS:
            fields[name] = int(text) / 1000 if text else None
        elif name == "paused":
            fields[name] = text == "1"
        elif name == "limits":
            fields[name] = orjson.loads(text or "{}")
        else:
            fields[name] = text or None
    return Policy(**fields)


def waiting(entry: Sequence[Any]) -> Waiting:
    """Read one shape of `heads`."""
    name, shape, count, *pairs = entry
    heads = tuple(
        Head(int(each[:16]), each[17:], int(priority))
        for each, priority in zip(pairs[::2], pairs[1::2], strict=True)
    )
    return Waiting(name, Shape.parse(shape), heads, int(count))
