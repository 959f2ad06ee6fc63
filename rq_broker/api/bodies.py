"""Validation at the edge: the bodies that change a job, a host, a policy and what callbacks need.

But for jobs, fields that are not known are refused: there a slip of the pen would pass unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rq_broker.api import submission
from rq_broker.delivery.signing import SigningKey
from rq_broker.domain import exact_json as jsontext
from rq_broker.domain.capacity import MAX_WHOLE
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Shape, Status
from rq_broker.domain.planning import Proposal
from rq_broker.domain.validation import amounts, flag, name, obj, one_of, only, show, text, whole
from rq_broker.egress import callback as callbacks
from rq_broker.egress.rules import Egress

_UPDATES = ("priority", "status", "before", "after", "position")
_ERROR_LETTERS = 1000
_SERVERS = 100
_SPANS = ("patience", "offer", "running", "retention")
_SPAN_SECONDS = 100 * 366 * 86400
_CONCURRENCY = 10_000
_POLICY = (*_SPANS, "settle", "paused", "concurrency", "share", "limits", "holds")
_NULLABLE = (*_SPANS, "share", "limits")
_DESTINATION_BYTES = 300
_KEYS = 4
"""Signing keys of one owner: a courier sends a signature for each."""


@dataclass(frozen=True, slots=True)
class Reorder:
    """An update that gives a job another place in line, see Broker.reorder."""

    mode: str
    value: str


@dataclass(frozen=True, slots=True)
class Move:
    """An update that gives a job another status, see Broker.transition."""

    to: Status
    fence: int | None = None
    error: str = ""
    servers: tuple[str, ...] = ()


def update(body: Any) -> Reorder | Move:
    """Read the body of an update: exactly one of the things it may change."""
    fields = obj(body, "the body")
    named = [each for each in _UPDATES if fields.get(each) is not None]
    if len(named) != 1:
        said = " and ".join(named) or "none"
        raise Invalid(f"an update must give exactly one of {', '.join(_UPDATES)}, not {said}")
    (mode,) = named
    if mode == "status":
        return _move(fields)
    for each in ("fence", "error", "servers"):
        if fields.get(each) is not None:
            raise Invalid(f"{each} goes with status, not with {mode}")
    return Reorder(mode, _place(mode, fields[mode]))


def _place(mode: str, value: Any) -> str:
    if mode == "priority":
        return str(whole(value, mode, -MAX_WHOLE))
    if mode == "position":
        return one_of(value, mode, ("front", "back"))
    return name(value, mode)


def _move(fields: Mapping[str, Any]) -> Move:
    to = Status(one_of(fields["status"], "status", tuple(Status)))
    fence, error = fields.get("fence"), fields.get("error")
    if error is not None:
        if to is not Status.ERROR:
            raise Invalid(f"error goes with status error, not with {to}")
        if type(error) is not str or len(error) > _ERROR_LETTERS:
            raise Invalid(f"error must be a string of at most {_ERROR_LETTERS} characters")
    number = None if fence is None else whole(fence, "fence")
    return Move(to, number, error or "", _servers(to, fields.get("servers")))


def _servers(to: Status, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if to is not Status.RUNNING:
        raise Invalid(f"servers go with status running, not with {to}")
    if type(value) is not list or len(value) > _SERVERS:
        raise Invalid(f"servers must be a list of at most {_SERVERS} names, not {show(value)}")
    return tuple(text(each, f"servers[{n}]", 255, " ") for n, each in enumerate(value))


def policy(body: Any) -> dict[str, object]:
    """Read the policy fields to change, and only those."""
    fields = obj(body, "the body")
    only(fields, _POLICY, "the policy field")
    return {each: _policy_field(each, value) for each, value in fields.items()}


def _policy_field(field: str, value: Any) -> object:
    if value is None and field in _NULLABLE:
        return {} if field == "limits" else None
    return _POLICY_READERS.get(field, _span)(value, field)


def _limits(value: Any, place: str) -> dict[str, dict[str, int]]:
    return {
        text(owner, "an owner in limits", 255): amounts(caps, f"{place}.{owner}")
        for owner, caps in obj(value, place).items()
    }


_POLICY_READERS: Mapping[str, Callable[[Any, str], object]] = {
    "paused": flag,
    "concurrency": lambda value, place: whole(value, place, 1, _CONCURRENCY),
    "share": lambda value, place: one_of(value, place, ("owner",)),
    "holds": lambda value, place: one_of(value, place, ("until_done", "until_seen")),
    "limits": _limits,
}
"""How a policy field is read; those not named are spans."""


def _span(value: Any, place: str) -> float:
    number = float(value.text) if isinstance(value, jsontext.Number) else value
    if type(number) in (int, float) and 0 <= number <= _SPAN_SECONDS:
        return float(number)
    raise Invalid(
        f"{place} must be seconds from 0 to {_SPAN_SECONDS}, or null for without end,"
        f" not {show(value)}"
    )


# Callbacks


def destination(body: Any) -> str:
    """Read which destination is meant, spelled as the list of them shows it."""
    fields = obj(body, "the body")
    only(fields, ("destination",), "the field")
    return text(fields.get("destination"), "destination", _DESTINATION_BYTES)


def signing_keys(body: Any) -> tuple[str, list[str]]:
    """Read an owner, or `*`, and its signing keys in their canonical spelling, the newest first.

    No sentence repeats what was given, whatever field it stands in: it may be a secret.
    """
    match body:
        case {"owner": str(owner), "keys": list(given), **rest} if not rest:
            pass
        case _:
            raise Invalid("the body must be a JSON object with owner, a string, and keys, a list")
    if len(given) > _KEYS:
        raise Invalid(f"keys must be at most {_KEYS}, not {len(given)}")
    return text(owner, "owner", 255), [_key(each, f"keys[{n}]") for n, each in enumerate(given)]


def _key(value: Any, place: str) -> str:
    if type(value) is not str:
        raise Invalid(f"{place} must be a string")
    try:
        return SigningKey.parse(value).text
    except Invalid as reason:
        raise Invalid(f"{place}: {reason}") from None


_IMAGINED = ("data", "owner_id", "callback", "priority", "position")
_MOVED = ("request_id", "priority", "position")


def what_if(body: Any, callback_base: str | None = None, egress: Egress | None = None) -> Proposal:
    """Read the body of a what-if: `data` of a job not submitted, or `request_id` of one to move.

    What a submit would refuse is refused here as well.
    """
    fields = obj(body, "the body")
    moved = fields.get("request_id") is not None
    only(fields, _MOVED if moved else _IMAGINED, "the body")
    priority, position = fields.get("priority"), _position(fields.get("position"))
    if priority is not None and position is not None:
        raise Invalid("a what-if takes priority or position, not both")
    wanted = None if priority is None else whole(priority, "priority", -MAX_WHOLE)
    if moved:
        if wanted is None and position is None:
            raise Invalid("a what-if of request_id must give priority or position")
        return Proposal(None, name(fields["request_id"], "request_id"), wanted, position)
    owner, callback = fields.get("owner_id"), fields.get("callback")
    shape = Shape(
        submission.demand(obj(fields.get("data"), "data")),
        "" if owner is None else text(owner, "owner_id", 255),
        ""
        if callback is None
        else callbacks.destination(text(callback, "callback", 2048), callback_base, egress),
    )
    return Proposal(shape, None, wanted, position)


def _position(value: Any) -> int | str | None:
    if value is None or type(value) is int:
        return value if value is None else whole(value, "position", 1)
    return one_of(value, "position", ("front", "back"))
