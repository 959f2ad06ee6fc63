"""The body of a submit: its fields, and the Submission that it becomes.

Most bodies take a fast path: msgspec parses the fields beside `data`, and what `data` becomes is
cached, because jobs repeat a few shapes. Every other body, invalid ones included, is parsed exactly
and checked field by field, so that a sentence can name the field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from rq_broker.api import array_submit
from rq_broker.api.data import Data, demand_of
from rq_broker.domain import exact_json
from rq_broker.domain.arrays import MOST_JOBS, WHOLE, ArraySubmission
from rq_broker.domain.decoding import convert, texts_check
from rq_broker.domain.errors import Invalid, Unreadable
from rq_broker.domain.identity import ANYONE, Identity
from rq_broker.domain.jobs import Demand, Shape, Submission, expected_class
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import MOST_AFTER, AtOnce, Terms, milliseconds_of
from rq_broker.domain.validation import HoldSpan, Name, Owner, Priority, Text
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress

CALLBACK = Text(2048)
Callback = Annotated[str, CALLBACK.meta("A URL, absolute or relative to the callback base.")]
"""A callback that is given."""


class _Fields(Struct, kw_only=True):
    request_id: Name
    owner_id: Owner
    callback: (
        Annotated[
            Callback | None,
            Meta(
                description="Without it nobody is called: the client takes the offer by the status "
                "`running`."
            ),
        ]
        | UnsetType
    ) = UNSET
    priority: Annotated[Priority | None, Meta(description="Smaller goes first.")] | UnsetType = (
        UNSET
    )
    expected: (
        Annotated[
            HoldSpan | None, Meta(description="Seconds it will hold, as far as its client knows.")
        ]
        | UnsetType
    ) = UNSET


class Submit(_Fields, kw_only=True):
    """A job to put in the queue."""

    data: Data
    not_before: (
        Annotated[
            str,
            Meta(
                description="Not granted before this time (RFC 3339); its place in the line is "
                "that of its submit.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = None
    give_up_after: (
        Annotated[
            HoldSpan,
            Meta(description="Seconds in the line after which it ends in error, `gave_up`."),
        ]
        | None
    ) = None
    hold_at_most: (
        Annotated[
            HoldSpan,
            Meta(
                description="Seconds that it may run without renewing, where that is less than the "
                "policy's `running`."
            ),
        ]
        | None
    ) = None
    after: (
        Annotated[
            list[Name],
            Meta(
                max_length=MOST_AFTER,
                description="It joins the line once these jobs of the type are `done`.",
                extra={"items": "names"},
            ),
        ]
        | None
    ) = None
    after_any: (
        Annotated[bool, Meta(description="With after: any end of those jobs will do.")] | None
    ) = None
    count: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MOST_JOBS,
                description="Makes so many jobs, `<request_id>[0]` and so on: an array. `{n}` in "
                "the callback and in the strings of `data` is the number of a job.",
            ),
        ]
        | None
    ) = None
    at_once: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MOST_JOBS,
                description="With count: how many of these jobs hold capacity at a time, at most.",
            ),
        ]
        | None
    ) = None


class _PlainSubmit(_Fields, kw_only=True):
    """Submit with `data` left unparsed, and without the terms that few jobs have."""

    data: Raw


def read_submission(
    body: bytes,
    callback_base: str | None = None,
    egress: Egress | None = None,
    asker: Identity = ANYONE,
) -> Submission | ArraySubmission:
    """Parse the body of a submit, of one job or of an array.

    Args:
        callback_base: URL that a relative callback is joined to.
        egress: Rules that the callback has to pass, if any.
        asker: Who asks: whose job it is where the body names no owner.

    Raises:
        Unreadable: The body is not JSON that can be kept exactly.
        Invalid: Some field is not valid; the sentence names it.
    """
    plain = _read_plain(body)
    if plain is None:
        parsed = exact_json.loads(body)
        if isinstance(parsed, dict) and parsed.get("owner_id") is None:
            parsed["owner_id"] = asker.sole_owner()
        submit = convert(parsed, Submit)
        make = _one if submit.count is None else _array
        return make(parsed["data"], submit, callback_base, egress)
    fields, data = plain
    receiver = _destination(fields, callback_base, egress)
    return _submission(fields, data.text, data.demand, receiver)


def submission(
    body: Any, callback_base: str | None = None, egress: Egress | None = None
) -> Submission:
    """Make a Submission of parsed JSON, as `read_submission` does of the bytes of one job."""
    submit = convert(body, Submit)
    return _one(body["data"], submit, callback_base, egress)


def _one(data: Any, submit: Submit, callback_base: str | None, egress: Egress | None) -> Submission:
    if submit.at_once is not None:
        raise Invalid("at_once goes with count")
    receiver = _destination(submit, callback_base, egress)
    demand = demand_of(submit.data)
    return _submission(submit, exact_json.dumps(data), demand, receiver, _terms(submit))


def _destination(fields: _Fields, callback_base: str | None, egress: Egress | None) -> str:
    """Return the destination of the callback, OFFER if there is none."""
    if not fields.callback:
        return OFFER
    return destination(fields.callback, callback_base, egress)


def _array(
    data: Any, submit: Submit, callback_base: str | None, egress: Egress | None
) -> ArraySubmission:
    """Make the submission of an array; `data` is as parsed."""
    name, count, owner = submit.request_id, submit.count or 1, submit.owner_id
    _refuse_whole(name)
    callback = array_submit.NO_CALLBACK
    if submit.callback:
        callback = array_submit.template(submit.callback)
    texts = array_submit.data_template(data)
    array_submit.check_sizes(name, count, texts, callback, CALLBACK)
    wanted = array_submit.demands(data, demand_of(submit.data), count)
    receivers = array_submit.destinations(callback, count, callback_base, egress)
    expected = None if submit.expected is UNSET else submit.expected
    at_once = AtOnce(name, submit.at_once) if submit.at_once else None
    shapes = tuple(
        Shape(demand, owner, receiver, expected_class(expected), at_once)
        for demand, receiver in zip(*_as_long(wanted, receivers), strict=True)
    )
    return ArraySubmission(
        name,
        owner,
        count,
        texts,
        callback,
        shapes,
        None if submit.priority is UNSET else submit.priority,
        expected,
        _terms(submit),
        submit.at_once,
    )


def _as_long(wanted: list[Demand], receivers: list[str]) -> tuple[list[Demand], list[str]]:
    """Repeat what is one for all jobs, where the other is one for each."""
    jobs = max(len(wanted), len(receivers))
    return wanted * (jobs // len(wanted)), receivers * (jobs // len(receivers))


def _refuse_whole(request_id: str) -> None:
    if request_id.endswith(WHOLE):
        raise Invalid(f"request_id must not end in {WHOLE}, which names an array as a whole")


def _terms(submit: Submit) -> Terms | None:
    """Return the job's own terms; None if it has none, as most."""
    after = tuple(dict.fromkeys(submit.after or ()))
    if submit.request_id in after:
        raise Invalid("after must not name the job itself: no job ends before it starts")
    if submit.after_any and not after:
        raise Invalid("after_any goes with after")
    terms = Terms(
        None if submit.not_before is None else milliseconds_of(submit.not_before, "not_before"),
        submit.give_up_after,
        submit.hold_at_most,
        after,
        bool(submit.after_any),
    )
    return None if terms == Terms() else terms


def _submission(
    fields: _Fields, data: str, demand: Demand, receiver: str, terms: Terms | None = None
) -> Submission:
    _refuse_whole(fields.request_id)
    expected = None if fields.expected is UNSET else fields.expected
    return Submission(
        fields.request_id,
        fields.owner_id,
        data,
        fields.callback or "",
        Shape(demand, fields.owner_id, receiver, expected_class(expected)),
        None if fields.priority is UNSET else fields.priority,
        expected,
        terms,
    )


# The fast path

_decode = msgspec.json.Decoder(_PlainSubmit).decode
_has_valid_texts = texts_check(_PlainSubmit)
_QUOTES = 2 * (len(_PlainSubmit.__struct_fields__) - 2) + 2 * 3
"""Quotes of the keys, without the optional priority and expected, and of the three strings. A job
without callback has fewer."""
_CACHED_BYTES = 1024
"""Size of `data` up to which it is cached. 1,024 entries of that size take some 4 MB."""
_MAX_BRACKETS = 250
"""Brackets in `data` up to which it cannot be nested too deep to be rendered within the body."""


class _ParsedData(NamedTuple):
    """What the JSON of `data` became, and the number of quotes in it."""

    text: str
    demand: Demand
    quotes: int


def _read_plain(body: bytes) -> tuple[_PlainSubmit, _ParsedData] | None:
    """Parse a body that is exact and valid beyond doubt; returns None for any other.

    msgspec ignores unknown keys, takes the last of two equal keys and reads -0 as 0. The number of
    quotes shows whether there is a key too many, since each has two.
    """
    try:
        fields = _decode(body)
        data = _parse_data(bytes(fields.data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Invalid):
        return None
    priority = fields.priority
    quotes = _QUOTES + data.quotes + (0 if priority is UNSET else 2)
    if fields.expected is not UNSET:
        quotes += 2
    if not fields.callback:
        quotes -= 4 if fields.callback is UNSET else 2
    if body.count(b'"') != quotes or (priority == 0 and b"-0" in body):
        return None
    return (fields, data) if _has_valid_texts(fields) else None


def _parse_data(json: bytes) -> _ParsedData:
    return (_parse if len(json) <= _CACHED_BYTES else _parse.__wrapped__)(json)


@lru_cache(1024)
def _parse(json: bytes) -> _ParsedData:
    if not json.startswith(b"{") or json.count(b"[") + json.count(b"{") > _MAX_BRACKETS:
        raise Unreadable("data is no object, or may be nested too deep")
    value = exact_json.loads(json)
    demand = demand_of(convert(value, Data, "data"))
    return _ParsedData(exact_json.dumps(value), demand, json.count(b'"'))
