"""The bodies of calls on many jobs: what they submit, or what they do to which jobs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from rq_broker.api.bodies import QueueEnd
from rq_broker.domain import exact_json
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Status
from rq_broker.domain.validation import Name, Span

MOST_JOBS = 1000
"""Jobs that one call submits or names at most. It takes some 0.3 s of a process, during which other
calls get their turn every few ms."""
MOST_BYTES = 4 << 20
"""Bytes that a body may have: 4 KiB for each submission of a full call. Most need 300 bytes."""
SUBMISSIONS = Meta(
    min_length=1,
    max_length=MOST_JOBS,
    extra={"items": "jobs"},
    description="Each as the body of `POST /v1/{type}`, without `count`. One that is refused stops "
    "no other.",
    extra_json_schema={"items": {"anyOf": [{"$ref": "#/components/schemas/Submit"}, {}]}},
)

# Submits


class SubmitMany(Struct, forbid_unknown_fields=True):
    """Jobs to put in the queue, in their order."""

    jobs: Annotated[list[Any], SUBMISSIONS]


class _PlainSubmitMany(Struct, forbid_unknown_fields=True):
    jobs: Annotated[list[Raw], Meta(min_length=1, max_length=MOST_JOBS)]


_decode = msgspec.json.Decoder(_PlainSubmitMany).decode


def submissions(body: bytes) -> Sequence[bytes]:
    """Return the JSON of each submission in a body.

    Raises:
        Unreadable: The body is not JSON that can be kept exactly.
        Invalid: It is no object with a list of 1 to MOST_JOBS submissions.
    """
    try:
        raws = [bytes(raw) for raw in _decode(body).jobs]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raws = []
    # msgspec takes the last of two equal keys: their quotes show whether there is one.
    if raws and body.count(b'"') == 2 + sum(raw.count(b'"') for raw in raws):
        return raws
    jobs = convert(exact_json.loads(body), SubmitMany).jobs
    return [exact_json.dumps(job).encode() for job in jobs]


def request_id_of(submission: bytes) -> str | None:
    """Return what a submission that was refused has as its request_id, None if it has no text."""
    try:
        value = orjson.loads(submission)
    except orjson.JSONDecodeError:
        return None
    name = value.get("request_id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


# Actions


class Verb(StrEnum):
    """What is done to each job."""

    WITHDRAW = "withdraw"
    REQUEUE = "requeue"
    MOVE = "move"
    DONE = "done"


class Filter(Struct, forbid_unknown_fields=True):
    """Which jobs are meant: those of which all that is given is true."""

    owner_id: Annotated[str, Meta(min_length=1, description="Jobs of this owner.")] | None = None
    status: Status | None = None
    callback_destination: (
        Annotated[
            str,
            Meta(min_length=1, description="Jobs whose callback goes to this scheme://host:port."),
        ]
        | None
    ) = None
    error_code: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Jobs in error with this `Cause`, such as `http_503`, or `Error`.",
            ),
        ]
        | None
    ) = None
    older_than: Annotated[Span, Meta(description="Seconds since their submit.")] | None = None
    contains: (
        Annotated[
            str,
            Meta(min_length=1, description="Jobs whose `request_id` has this text, in any case."),
        ]
        | None
    ) = None
    needs: (
        Annotated[
            dict[str, Annotated[int, Meta(ge=0)]],
            Meta(
                min_length=1,
                description="Jobs that ask for so much in all instances together, or more.",
            ),
        ]
        | None
    ) = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given, so that every job would be meant."""
        return all(getattr(self, name) is None for name in self.__struct_fields__)


class Action(Struct, forbid_unknown_fields=True):
    """Exactly one of request_ids and filter says to which jobs it is done."""

    action: Verb
    request_ids: (
        Annotated[list[Name], Meta(min_length=1, max_length=MOST_JOBS, extra={"items": "names"})]
        | None
    ) = None
    filter: Filter | None = None
    position: (
        Annotated[QueueEnd, Meta(description="With move: to which end of the queue.")] | None
    ) = None
    dry_run: (
        Annotated[bool, Meta(description="Tell which jobs are meant, and do nothing.")] | None
    ) = None
    cursor: Annotated[str, Meta(description="With filter: `next` of the answer before.")] | None = (
        None
    )


_NULL = {"type": "null"}
_GIVEN = {"not": _NULL}


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: _GIVEN}}


_RULES = {
    "oneOf": [_given("request_ids"), _given("filter")],
    "if": {"required": ["action"], "properties": {"action": {"const": "move"}}},
    "then": _given("position"),
    "else": {"properties": {"position": _NULL}},
}
ActionBody = Annotated[Action, Meta(extra_json_schema=_RULES)]
"""An action with the rules about fields that exclude each other, as the document shows it."""


def action(body: Any) -> Action:
    """Return what is to be done to which jobs. Raises Invalid."""
    wanted = convert(body, Action)
    if (wanted.request_ids is None) == (wanted.filter is None):
        raise Invalid("an action must give exactly one of request_ids and filter")
    if (wanted.position is None) == (wanted.action is Verb.MOVE):
        raise Invalid("position, front or back, goes with move and with no other action")
    if wanted.filter is not None and wanted.filter.is_empty:
        raise Invalid("filter must name something; older_than 0 means every job")
    if wanted.cursor and wanted.filter is None:
        raise Invalid("cursor goes with filter")
    return wanted
