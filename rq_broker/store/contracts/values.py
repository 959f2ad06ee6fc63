"""Encodes arguments and decodes replies as a contract declares them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any

from rq_broker.store.contracts.header import SCALARS, ContractError, Field

Encoder = Callable[[Mapping[str, Any]], list[Any]]
Decoder = Callable[[Any], Any]

_named_tuple: Callable[..., Any] = namedtuple
"""Its fields are known only once the header is read, which mypy does not follow."""


def encoder(fields: Sequence[Field]) -> Encoder:
    """Make the function that encodes arguments by name; it refuses missing and unknown names."""
    scalars = [field for field in fields if field.type in SCALARS]
    pick = _picker([field.name for field in scalars])
    converted: list[tuple[int, Callable[[Any], Any]]] = [
        (number, _encode_flag if field.type == "flag" else _encode_optional)
        for number, field in enumerate(scalars)
        if field.type == "flag" or field.optional
    ]
    collections = [(field.name, _collection_encoder(field)) for field in fields[len(scalars) :]]
    names = [field.name for field in fields]

    def encode(arguments: Mapping[str, Any]) -> list[Any]:
        try:
            values = [*pick(arguments)]
            for number, convert in converted:
                values[number] = convert(values[number])
            for name, encode_values in collections:
                values += encode_values(arguments[name])
        except KeyError:
            raise ContractError(f"arguments are {[*arguments]}, not {names}") from None
        if len(arguments) != len(names):
            raise ContractError(f"arguments are {[*arguments]}, not {names}")
        return values

    return encode


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Make the function that picks the values of these names: one call in C for two or more."""
    if len(names) < 2:
        return lambda arguments: tuple(arguments[name] for name in names)
    return itemgetter(*names)


def _encode_flag(value: bool) -> str:
    return "1" if value else ""


def _encode_optional(value: Any) -> Any:
    return "" if value is None else value


def _encode_list(values: Sequence[Any]) -> list[Any]:
    return [len(values), *values]


def _encode_fields(flat: Sequence[str]) -> list[Any]:
    return [len(flat) // 2, *flat]


def _encode_amounts(amounts: Mapping[str, int]) -> list[Any]:
    return [len(amounts), *chain.from_iterable(amounts.items())]


_ENCODERS: Mapping[str, Callable[[Any], list[Any]]] = {
    "strings": _encode_list,
    "integers": _encode_list,
    "fields": _encode_fields,
    "amounts": _encode_amounts,
}


def _collection_encoder(field: Field) -> Callable[[Any], list[Any]]:
    if field.type != "rows":
        return _ENCODERS[field.type]
    encode_row = encoder(field.members)

    def encode(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [len(rows), *chain.from_iterable(map(encode_row, rows))]

    return encode


def decoder(name: str, fields: Sequence[Field]) -> Decoder:
    """Make the function that turns a reply into a named tuple; None for `Returns none`."""
    if not fields:
        return _decode_none
    decode_rows = _rows_decoder(name, fields)

    def decode(reply: Any) -> Any:
        return decode_rows((reply,))[0]

    return decode


def _rows_decoder(name: str, fields: Sequence[Field]) -> Callable[[Sequence[Any]], list[Any]]:
    """Make the function that turns arrays into named tuples, in one loop: a page has hundreds."""
    # The constructor without the check of the length, which is made below.
    make = partial(tuple.__new__, _named_tuple(name, [field.name for field in fields]))
    conversions = _conversions(fields)
    length = len(fields)

    def decode(rows: Sequence[Any]) -> list[Any]:
        decoded = []
        for row in rows:
            if len(row) != length:
                raise ContractError(f"{name} has {len(row)} values, not {length}: {row!r:.200}")
            values = [*row]
            for number, convert in conversions:
                values[number] = convert(values[number])
            decoded.append(make(values))
        return decoded

    return decode


def _conversions(fields: Sequence[Field]) -> list[tuple[int, Decoder]]:
    """List the values of a reply that are not as Redis answers them, with their decoders."""
    return [
        (number, _value_decoder(field))
        for number, field in enumerate(fields)
        if field.optional or field.type not in ("string", "integer", "decimal", "strings")
    ]


def _decode_none(_: object) -> None:
    return None


def _value_decoder(field: Field) -> Decoder:
    if field.type == "rows":
        return _rows_decoder(field.name, field.members)
    return _decode_optional if field.optional else _DECODERS[field.type]


def _decode_optional(value: Any) -> Any:
    return None if value == "" else value


def _decode_flag(value: int) -> bool:
    return value == 1


def _decode_fields(flat: Sequence[str]) -> dict[str, str]:
    values = iter(flat)
    return dict(zip(values, values, strict=True))


def _decode_integers(values: Iterable[str]) -> list[int]:
    return [int(value) for value in values]


_DECODERS: Mapping[str, Decoder] = {
    "flag": _decode_flag,
    "integers": _decode_integers,
    "fields": _decode_fields,
}
