"""The body of a submit: its fields as structs, and the Submission it becomes.

An everyday body takes a short way: msgspec reads the fields and leaves `data` as it is, and what
`data` became is remembered, since jobs come in few shapes. Any other body, and any that is refused,
is parsed exactly, which words the refusal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rq_broker.domain import exact_json
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.decoding import convert, texts_check
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand, Shape, Submission
from rq_broker.domain.validation import MAX_WHOLE, Name, Owner, Priority, Text
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress

Callback = Annotated[str, Text(2048).meta("A URL, absolute or relative to the callback base.")]

_Instances = tuple[tuple[tuple[str, int], ...], ...]


class Data(Struct):
    """What a job needs; all other keys are kept for the callback, digit for digit."""

    instances: (
        Annotated[
            list[Amounts],
            Meta(
                min_length=1,
                max_length=1000,
                description="What each instance needs; left out: one instance of one slot.",
                extra={"items": "instances"},
            ),
        ]
        | None
    ) = None
    host_aggregate: Annotated[str, Text(255, may_be_empty=True).meta()] | None = None
    spread: Annotated[bool, Meta(description="No two instances on one host.")] | None = None


class _Fields(Struct, kw_only=True):
    request_id: Name
    owner_id: Owner
    callback: Callback
    priority: Annotated[Priority | None, Meta(description="Smaller goes first.")] | UnsetType = (
        UNSET
    )


class Submit(_Fields, kw_only=True):
    """A job to put in the queue."""

    data: Data


class _PlainSubmit(_Fields, kw_only=True):
    """The same, its data unread."""

    data: Raw


class _KeptData(NamedTuple):
    """What the text of `data` became, and how many quotes it has."""

    text: str
    demand: Demand
    quotes: int


def read_submission(
    body: bytes, callback_base: str | None = None, egress: Egress | None = None
) -> Submission:
    """Read the body of a submit; with `egress`, refuse a callback that could never be dialled."""
    plain = _read_plain(body)
    if plain is None:
        return submission(exact_json.loads(body), callback_base, egress)
    fields, data = plain
    receiver = destination(fields.callback, callback_base, egress)
    return _submission(fields, data.text, data.demand, receiver)


def submission(
    body: Any, callback_base: str | None = None, egress: Egress | None = None
) -> Submission:
    """Make a Submission of a parsed body."""
    new = convert(body, Submit)
    receiver = destination(new.callback, callback_base, egress)
    return _submission(new, exact_json.dumps(body["data"]), demand(new.data), receiver)


def _submission(fields: _Fields, data: str, wanted: Demand, receiver: str) -> Submission:
    return Submission(
        fields.request_id,
        fields.owner_id,
        data,
        fields.callback,
        Shape(wanted, fields.owner_id, receiver),
        None if fields.priority is UNSET else fields.priority,
    )


# The short way

_decode = msgspec.json.Decoder(_PlainSubmit).decode
_texts_are_valid = texts_check(_PlainSubmit)
_QUOTES = 2 * (len(Submit.__struct_fields__) - 1) + 2 * 3
"""Of the keys, the priority's aside, and of the three strings beside data."""
_KEPT_BYTES = 1024
"""Data longer than this is read each time: 1,024 kept ones then take some 4 MB."""


def _read_plain(body: bytes) -> tuple[_PlainSubmit, _KeptData] | None:
    """Read a body that is certainly exact and valid; None where a longer look has to tell.

    msgspec ignores unknown keys, takes the last of two equal keys and reads -0 as 0. The count of
    quotes shows a key too many: each has two.
    """
    try:
        fields = _decode(body)
        data = _data_of(bytes(fields.data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Invalid):
        return None
    priority = fields.priority
    quotes = _QUOTES + data.quotes + (0 if priority is UNSET else 2)
    if body.count(b'"') != quotes or (priority == 0 and b"-0" in body):
        return None
    return (fields, data) if _texts_are_valid(fields) else None


def _data_of(raw: bytes) -> _KeptData:
    return _keep(raw) if len(raw) <= _KEPT_BYTES else _keep.__wrapped__(raw)


@lru_cache(1024)
def _keep(raw: bytes) -> _KeptData:
    value = exact_json.loads(raw)
    wanted = demand(convert(value, Data, "data"))
    return _KeptData(exact_json.dumps(value), wanted, raw.count(b'"'))


# What a job needs

_ONE_SLOT: _Instances = ((("Slots", 1),),)


def demand(data: Data) -> Demand:
    """Drop zeros and sort resources, so that equal demands have one shape."""
    instances = _ONE_SLOT if data.instances is None else _instances(data.instances)
    return Demand(instances, data.host_aggregate or None, bool(data.spread))


def _instances(wanted: list[Amounts]) -> _Instances:
    instances: list[tuple[tuple[str, int], ...]] = []
    total = 0
    for number, amounts in enumerate(wanted):
        numbers = amounts.values()
        total += sum(numbers)
        if number and amounts == wanted[number - 1]:
            instances.append(instances[-1])
            continue
        pairs = sorted(amounts.items())
        instances.append(tuple([pair for pair in pairs if pair[1]] if 0 in numbers else pairs))
    if total > MAX_WHOLE:
        _check_totals(wanted)
    return tuple(instances)


def _check_totals(instances: Iterable[Amounts]) -> None:
    """Refuse a demand of which Lua could not add up a resource exactly."""
    totals: Counter[str] = Counter()
    for amounts in instances:
        totals.update(amounts)
    for resource, amount in totals.items():
        if amount > MAX_WHOLE:
            raise Invalid(f"data.instances need {amount} {resource} in all, over 2^53−1")
