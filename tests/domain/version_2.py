"""How the last release of version 2 of the contract wrote and read shapes: its code as it was.

A new notifier must give old demands the texts and keys that this code gives them, and this code
must refuse all other demands. It stands here as a copy, so that the comparison needs neither the
history of the repository nor a download.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct

from rq_broker.domain.jobs import Demand


def canonical(demand: Demand, owner: str, destination: str, expected: int | None) -> str:
    """Render a shape."""
    value: list[object] = [
        [dict(instance) for instance in demand.instances],
        demand.aggregate,
        demand.spread,
        owner,
        destination,
    ]
    if expected is not None:
        value.append(expected)
    return orjson.dumps(value).decode()


class _ShapeRecord(Struct, array_like=True):
    instances: list[Raw]
    aggregate: str | None
    spread: bool
    owner: str
    destination: str
    expected: int | None = None


_decode_shape = msgspec.json.Decoder(_ShapeRecord).decode
_decode_instance = msgspec.json.Decoder(dict[str, int]).decode


def parse(text: str) -> tuple[Any, ...]:
    """Read a shape: its instances, aggregate, spread, owner, destination, expected."""
    try:
        record = _decode_shape(text)
        by_json: dict[bytes, tuple[tuple[str, int], ...]] = {}
        for instance in record.instances:
            json = bytes(instance)
            if json not in by_json:
                by_json[json] = tuple(_decode_instance(json).items())
        pairs = tuple([by_json[bytes(instance)] for instance in record.instances])
    except msgspec.DecodeError as error:
        raise ValueError(f"no shape: {error}") from error
    rest = record.aggregate, record.spread, record.owner, record.destination, record.expected
    return pairs, *rest


class _Demand(Struct, frozen=True):
    instances: tuple[tuple[tuple[str, int], ...], ...]
    aggregate: str | None = None
    spread: bool = False


def demand_key(demand: Demand) -> str:
    """Digest a demand, as holding times are kept by."""
    of_version_2 = _Demand(demand.instances, demand.aggregate, demand.spread)
    return sha256(msgspec.json.encode(of_version_2)).hexdigest()[:12]
