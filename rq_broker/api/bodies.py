"""The request bodies, except the submit's (see submit): their fields, and what they become.

The structs hold types and bounds, and the schemas of the API document are made from them. Unknown
fields are ignored in a submit and an update, as the original service ignored them, and refused in
all other bodies. A field that is null counts as omitted, except in a policy and where an update is
of `expected` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from rq_broker.api.data import Data, demand_of
from rq_broker.api.submit import Callback
from rq_broker.delivery.signing import SigningKey
from rq_broker.domain import capacity
from rq_broker.domain.capacity import Host
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Shape, Status, expected_class
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Proposal
from rq_broker.domain.policy import PolicyChange, PolicyPatch, changed_fields
from rq_broker.domain.validation import (
    MAX_WHOLE,
    Count,
    HoldSpan,
    Label,
    Name,
    Priority,
    Text,
    show,
)
from rq_broker.egress.callback import destination as receiver_of
from rq_broker.egress.rules import Egress

# Jobs


class QueueEnd(StrEnum):
    """Where in the queue a job goes, whatever its priority was."""

    FRONT = "front"
    BACK = "back"


Position = Annotated[int, Meta(ge=1, le=MAX_WHOLE)] | QueueEnd
"""1 is next."""


class Update(Struct):
    """Exactly one of priority, status, before, after, position and expected."""

    priority: Priority | None = None
    status: Status | None = None
    before: Name | None = None
    after: Name | None = None
    position: Position | None = None
    fence: (
        Annotated[Count, Meta(description="With status: refused if a newer grant exists.")] | None
    ) = None
    error: (
        Annotated[str, Meta(max_length=1000, description="With status error: the cause.")] | None
    ) = None
    servers: (
        Annotated[
            list[Annotated[str, Text(255, " ").meta()]],
            Meta(
                max_length=100,
                description="With status running: what the source of its hosts knows it by, such "
                "as the UUIDs of its servers, in any spelling. No two running jobs name one.",
                extra={"items": "names"},
            ),
        ]
        | None
    ) = None
    expected: (
        Annotated[
            HoldSpan | None,
            Meta(description="Seconds it holds from its grant on; null: it does not say any more."),
        ]
        | UnsetType
    ) = UNSET


_ONE_OF = ("priority", "status", "before", "after", "position", "expected")
_WITH_STATUS = ("fence", "error", "servers")
_NAMED_FIELDS = 3
"""How many of a body's fields a sentence names: enough to see a misspelt one."""


_NULL: Mapping[str, Any] = {"type": "null"}
_NOT_NULL: Mapping[str, Any] = {"not": _NULL}


def _goes_with(name: str, status: Status) -> dict[str, Any]:
    """Return the JSON Schema of the rule that a field goes with one status only."""
    given = {"required": [name], "properties": {name: _NOT_NULL}}
    return {"if": given, "then": {"properties": {"status": {"const": status.value}}}}


_UPDATE_RULES = {
    "oneOf": [
        *(
            {
                "required": [name],
                "properties": {
                    name: _NOT_NULL,
                    **({} if name == "status" else dict.fromkeys(_WITH_STATUS, _NULL)),
                },
            }
            for name in _ONE_OF
        ),
        {"required": ["expected"], "properties": dict.fromkeys((*_ONE_OF, *_WITH_STATUS), _NULL)},
    ],
    "allOf": [_goes_with("error", Status.ERROR), _goes_with("servers", Status.RUNNING)],
}
UpdateBody = Annotated[Update, Meta(extra_json_schema=_UPDATE_RULES)]
"""An update with the rules about fields that exclude each other, as the document shows it."""


@dataclass(frozen=True, slots=True)
class Reorder:
    """An update that gives a job another place in the queue, see Broker.reorder."""

    mode: str
    value: str

    def proposal(self, request_id: str) -> Proposal:
        """Return what a what-if asks about this move of a job."""
        if self.mode == "place":
            return Proposal(request_id=request_id, position=int(self.value))
        value = int(self.value) if self.mode == "priority" else self.value
        return Proposal(request_id=request_id, **{self.mode: value})  # type: ignore[arg-type]  # by name


@dataclass(frozen=True, slots=True)
class Transition:
    """An update that gives a job another status, see Broker.transition."""

    to: Status
    fence: int | None = None
    error: str = ""
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewExpected:
    """An update of how long a job says it will hold, see Broker.set_expected."""

    seconds: float | None


def update(body: Any) -> Reorder | Transition | NewExpected:
    """Return what an update changes: the place, the status or what it expects. Raises Invalid."""
    change = convert(body, Update)
    changed = [name for name in _ONE_OF if getattr(change, name) not in (None, UNSET)]
    if not changed and change.expected is None:
        changed = ["expected"]
    if len(changed) != 1:
        named = " and ".join(changed) or f"none{_fields_of(body)}"
        raise Invalid(f"an update must give exactly one of {', '.join(_ONE_OF)}, not {named}")
    if change.status is not None:
        return _transition(change, change.status)
    (mode,) = changed
    for name in _WITH_STATUS:
        if getattr(change, name) is not None:
            raise Invalid(f"{name} goes with status, not with {mode}")
    if change.expected is not UNSET and mode == "expected":
        return NewExpected(change.expected)
    if isinstance(change.position, int):
        return Reorder("place", str(change.position))
    return Reorder(mode, str(getattr(change, mode)))


def _fields_of(body: Mapping[str, Any]) -> str:
    """Render the end of a sentence that names the first fields of a body; empty if it has none."""
    names = [show(name) for name, value in body.items() if value is not None]
    return f"; the body has {', '.join(names[:_NAMED_FIELDS])}" if names else ""


def _transition(change: Update, to: Status) -> Transition:
    if change.error is not None and to is not Status.ERROR:
        raise Invalid(f"error goes with status error, not with {to}")
    if change.servers is not None and to is not Status.RUNNING:
        raise Invalid(f"servers go with status running, not with {to}")
    return Transition(to, change.fence, change.error or "", tuple(change.servers or ()))


# Types


def host(name: str, body: Any) -> Host:
    """Return the host to publish. Raises Invalid."""
    return capacity.new_host(name, body)


def policy(body: Any) -> dict[str, object]:
    """Return the policy fields to change, by name. Raises Invalid."""
    return changed_fields(convert(body, PolicyChange))


def host_patch(body: Any) -> Mapping[str, Any]:
    """Return the patch of a host, as it is. Raises Invalid for what no patch can name."""
    convert(body, capacity.HostPatch)
    patch: Mapping[str, Any] = body
    return patch


def policy_patch(body: Any) -> Mapping[str, Any]:
    """Return the patch of a policy, as it is. Raises Invalid for what no patch can name."""
    convert(body, PolicyPatch)
    patch: Mapping[str, Any] = body
    return patch


class NewJobForecast(Struct, forbid_unknown_fields=True):
    """A job that was not submitted."""

    data: Data
    owner_id: Label | None = None
    callback: Callback | None = None
    priority: Priority | None = None
    position: Position | None = None
    expected: (
        Annotated[HoldSpan, Meta(description="Seconds it would hold, as far as you know.")] | None
    ) = None


class MoveForecast(Struct, forbid_unknown_fields=True):
    """A queued job, put elsewhere."""

    request_id: Name
    priority: Priority | None = None
    position: Position | None = None
    before: Name | None = None
    after: Name | None = None


_OF_A_SUBMIT = {
    *("not_before", "give_up_after", "hold_at_most", "after", "after_any", "count", "at_once"),
}
"""What a submit takes and a forecast does not: it says so instead of an unknown field."""
_PLACES = ("priority", "position", "before", "after")


def what_if(body: Any, callback_base: str | None = None, egress: Egress | None = None) -> Proposal:
    """Return what to forecast. Raises Invalid for all that a submit raises it for."""
    if isinstance(body, Mapping) and body.get("request_id") is not None:
        moved = convert(body, MoveForecast)
        places = {name: getattr(moved, name) for name in _PLACES}
        given = {name: value for name, value in places.items() if value is not None}
        if len(given) != 1:
            raise Invalid(f"with request_id, give one of {', '.join(_PLACES)}")
        return Proposal(request_id=moved.request_id, **given)
    known = {*NewJobForecast.__struct_fields__, "request_id"}
    if isinstance(body, Mapping) and body.get("data") is None and body.keys() <= known:
        raise Invalid("data or request_id is required")
    if isinstance(body, Mapping):
        for name in _OF_A_SUBMIT & body.keys():
            text = f'"{name}" goes with a submit: a what-if is of one job in the line from now on'
            raise Invalid(text)
    new = convert(body, NewJobForecast)
    destination = receiver_of(new.callback, callback_base, egress) if new.callback else OFFER
    expected = expected_class(new.expected)
    shape = Shape(demand_of(new.data), new.owner_id or "", destination, expected)
    if new.priority is not None and new.position is not None:
        raise Invalid("a what-if takes priority or position, not both")
    return Proposal(shape, None, new.priority, new.position)


# Callbacks


class OneDestination(Struct, forbid_unknown_fields=True):
    """A destination, spelled as the list of them shows it, and perhaps an owner."""

    destination: Annotated[str, Text(300).meta("scheme://host:port")]
    owner: (
        Annotated[
            str, Meta(max_length=255, description="Only its jobs; empty: jobs without an owner.")
        ]
        | None
    ) = None


def destination(body: Any) -> OneDestination:
    """Return the destination, and the owner if any, that the body names. Raises Invalid."""
    return convert(body, OneDestination)


class ReceiverTestBody(Struct, forbid_unknown_fields=True):
    """Where a test message goes, and whose keys it is signed with."""

    callback: Callback
    owner: Annotated[
        str, Meta(max_length=255, description="Empty: signed with the keys of every owner.")
    ] = ""


def receiver_test(body: Any) -> ReceiverTestBody:
    """Return what a test message is made of. Raises Invalid."""
    return convert(body, ReceiverTestBody)


ANY_OWNER = Text(255, noun="the owner")
"""An owner in any spelling: keys of one that can submit no more must be removable."""


class OwnerKeys(Struct, forbid_unknown_fields=True):
    """An owner and the keys its callbacks are signed with."""

    secret: ClassVar[bool] = True
    """No sentence repeats a value: any field may hold a key by mistake."""

    owner: Annotated[str, ANY_OWNER.meta("An owner_id or `*`.")]
    keys: Annotated[
        list[Annotated[str, Meta(extra_json_schema={"pattern": "^whsec_"})]],
        Meta(
            max_length=4,  # a callback carries a signature for each
            description="The newest first: `whsec_` and 24 to 64 bytes in base64.",
            extra={"items": "keys"},
        ),
    ]


def signing_keys(body: Any) -> tuple[str, list[str]]:
    """Return an owner, or `*`, and its keys in canonical spelling, newest first. Raises Invalid."""
    owner_keys = convert(body, OwnerKeys)
    keys = [_key(text, f"keys[{number}]") for number, text in enumerate(owner_keys.keys)]
    return owner_keys.owner, keys


def _key(text: str, place: str) -> str:
    return SigningKey.parse(text, place).text
