"""`data` of a job: what it needs, as JSON gives it, and the Demand that it becomes."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from rq_broker.api.instances import (
    MOST_INSTANCES,
    MOST_TRAITS,
    Instances,
    WantedInstance,
    read_instances,
    read_traits,
)
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand
from rq_broker.domain.validation import Label, Span, Text

MOST_ALTERNATIVES = 10
"""Alternatives beside the first: a pass may have to place each of them, for each shape."""


def _words(description: str, items: str = "traits") -> Meta:
    return Meta(max_length=MOST_TRAITS, description=description, extra={"items": items})


_Instances = Annotated[
    list[WantedInstance],
    Meta(
        min_length=1,
        max_length=MOST_INSTANCES,
        description="What each instance needs; left out: one instance of one slot.",
        extra={"items": "instances"},
    ),
]


class _Needs(Struct, kw_only=True):
    """What a job needs in one of its alternatives."""

    instances: _Instances | None = None
    host_aggregate: Annotated[str, Text(255, may_be_empty=True).meta()] | None = None
    any_aggregate: (
        Annotated[
            list[Label],
            _words("Hosts of any of these, and of `host_aggregate` if given.", "aggregates"),
        ]
        | None
    ) = None
    require: Annotated[list[Label], _words("Traits that every host must have.")] | None = None
    forbid: Annotated[list[Label], _words("Traits that no host may have.")] | None = None
    spread: Annotated[bool, Meta(description="No two instances on one host.")] | None = None


class Alternative(_Needs, kw_only=True):
    """What will do instead: all that it needs, since nothing is taken from `data`."""

    instances: _Instances
    alternatives: Annotated[
        Any,
        Meta(
            description="Not here: an alternative has none of its own.",
            extra_json_schema={"type": "null"},
        ),
    ] = None
    prefer_for: Annotated[
        Any,
        Meta(description="Not here: it is a word of `data`.", extra_json_schema={"type": "null"}),
    ] = None


class Data(_Needs, kw_only=True):
    """What a job needs. All other keys are kept for the callback, digit for digit."""

    alternatives: (
        Annotated[
            list[Alternative],
            Meta(
                max_length=MOST_ALTERNATIVES,
                description="What will do instead, in order of preference.",
                extra={"items": "alternatives"},
            ),
        ]
        | None
    ) = None
    prefer_for: (
        Annotated[
            Span, Meta(description="Seconds from its submit on in which no alternative will do.")
        ]
        | None
    ) = None


# The demand

_ONE_SLOT = Instances(((("Slots", 1),),), None)


def demand_of(data: Data) -> Demand:
    """Return the demand without zeros and with sorted resources: then equal demands are equal."""
    first = _demand(data, "data")
    if not data.alternatives:
        if data.prefer_for is not None:
            raise Invalid("data.prefer_for goes with alternatives")
        return first
    others = []
    for number, alternative in enumerate(data.alternatives):
        place = f"data.alternatives[{number}]"
        for word in ("alternatives", "prefer_for"):
            if getattr(alternative, word) is not None:
                raise Invalid(f"{place}.{word} is not known: it is a word of data alone")
        others.append(_demand(alternative, place))
    milliseconds = round((data.prefer_for or 0) * 1000)
    return replace(first, alternatives=tuple(others), prefer_for=milliseconds)


def _demand(needs: _Needs, place: str) -> Demand:
    """Return what is needed in one alternative; `place` is what sentences call it."""
    instances, elastic = _ONE_SLOT
    if needs.instances is not None:
        instances, elastic = read_instances(needs.instances, f"{place}.instances")
    return Demand(
        instances,
        needs.host_aggregate or None,
        bool(needs.spread),
        tuple(sorted(set(needs.any_aggregate or ()))),
        read_traits(needs.require or (), needs.forbid or (), place),
        elastic,
    )
