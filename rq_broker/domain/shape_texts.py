"""The JSON of the shapes that version 2 of the contract with Redis cannot say: an object each.

A field that is not known is refused, so that a version to come is not misread either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct

from rq_broker.domain.choices import Elastic
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import AtOnce
from rq_broker.domain.traits import Instance, Traits, instance_of, traits_of


class _InstanceOf3(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An instance in a text of version 3."""

    amounts: dict[str, int]
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()


class DemandOf3(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An alternative in a text of version 3."""

    instances: list[Raw]
    aggregate: str | None = None
    any_aggregate: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    spread: bool = False
    elastic: Elastic | None = None


class ShapeOf3(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A shape in a text of version 3; its demand is the one that is preferred."""

    instances: list[Raw]
    owner: str
    destination: str = OFFER
    """Left out of the text of jobs without callback, which versions until 4 cannot read then."""
    aggregate: str | None = None
    any_aggregate: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    spread: bool = False
    expected: int | None = None
    elastic: Elastic | None = None
    alternatives: tuple[DemandOf3, ...] = ()
    prefer_for: int = 0
    at_once: AtOnce | None = None


decode_shape = msgspec.json.Decoder(ShapeOf3).decode
_decode_instance = msgspec.json.Decoder(_InstanceOf3).decode


def encode(record: ShapeOf3) -> str:
    """Render a record."""
    return msgspec.json.encode(record).decode()


def text_of_instances(instances: Sequence[Instance]) -> list[Raw]:
    """Render instances; equal ones share their text."""
    json_of = {
        kind: Raw(
            msgspec.json.encode(
                _InstanceOf3(dict(kind), traits_of(kind).require, traits_of(kind).forbid)
            )
        )
        for kind in set(instances)
    }
    return [json_of[instance] for instance in instances]


def read_instances(texts: Iterable[Raw]) -> tuple[Instance, ...]:
    """Return the instances that `text_of_instances` rendered; equal ones are one object.

    Raises msgspec.DecodeError.
    """
    by_json: dict[bytes, Instance] = {}
    instances = []
    for json in map(bytes, texts):
        if json not in by_json:
            record = _decode_instance(json)
            traits = Traits(record.require, record.forbid)
            by_json[json] = instance_of(record.amounts.items(), traits)
        instances.append(by_json[json])
    return tuple(instances)
