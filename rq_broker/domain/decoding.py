"""From parsed JSON or TOML to a typed value, or to a sentence that names the field.

msgspec converts and checks. The rules it does not know (bytes of UTF-8, control characters) are
checked by functions that are built once from the same declared types. Only a value that either
refuses is compared with its type step by step, to word the sentence (see mismatch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec
from msgspec import UNSET, inspect

from rq_broker.domain.exact_json import Number
from rq_broker.domain.mismatch import refuse, type_info, unwrapped

_Target = TypeVar("_Target")
_Check = Callable[[Any], bool]

_ACCEPTED_KEYS = 4096
"""Keys that a type remembers as valid: the names of resources repeat in every job. The limit keeps
a client that invents names from filling the memory."""


def convert(value: Any, type_: type[_Target], place: str = "the body") -> _Target:
    """Convert parsed JSON to a type.

    A struct may have class variables that shape its sentences: `noun` is what they call a field,
    and with `secret` they repeat no value.

    Args:
        place: What a sentence calls the whole value.

    Raises:
        Invalid: Some part of the value does not fit; the sentence names it.
    """
    class_: Any = type_
    accepts = texts_check(class_)
    try:
        converted = _converted(value, type_)
    except msgspec.ValidationError as error:
        refuse(value, type_, place, error)
    if not accepts(converted):
        refuse(value, type_, place)
    return converted


def _converted(value: Any, type_: type[_Target]) -> _Target:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return msgspec.convert(_with_floats(value), type_)


def _with_floats(value: Any) -> Any:
    """Replace each number that was kept as text by the nearest float, which a span takes.

    Lists are left alone: no body has spans in one, and a list may have 300,000 elements.
    """
    if isinstance(value, Number):
        return float(value.text)
    if isinstance(value, dict):
        return {key: _with_floats(element) for key, element in value.items()}
    return value


def check(value: object, place: str) -> None:
    """Check the attributes of a dataclass instance against the types that its class declares.

    Raises:
        Invalid: Some attribute does not fit; the sentence names it.
    """
    class_: Any = type(value)
    struct = _struct_of(class_)
    try:
        msgspec.convert(value, struct, from_attributes=True)
    except msgspec.ValidationError as error:
        refuse(value, class_, place, error)
    if not texts_check(struct)(value):
        refuse(value, class_, place)


@cache
def _struct_of(type_: Any) -> Any:
    """Build a struct with the fields of a dataclass: msgspec takes instances of these unchecked."""
    return msgspec.defstruct(type_.__name__, get_type_hints(type_, include_extras=True).items())


# What msgspec does not check


@cache
def texts_check(type_: Any) -> _Check:
    """Build the check of all texts in a converted value of a type."""
    return _check_of(type_info(type_)) or (lambda _: True)


def _check_of(node: inspect.Type) -> _Check | None:
    """Build the check of the texts in a value; None if its type has none."""
    node, extra = unwrapped(node)
    match node:
        case inspect.StrType() if "text" in extra:
            accepts: _Check = extra["text"].acceptor()
            return accepts
        case inspect.StructType(fields=fields):
            return _fields_check(fields)
        case inspect.ListType(item_type=element) | inspect.FrozenSetType(item_type=element):
            return _elements_check(_check_of(element))
        case inspect.DictType(key_type=key, value_type=element):
            return _entries_check(_check_of(key), _check_of(element))
        case inspect.UnionType(types=members):
            # A union has one member with texts; a struct may stand beside a word, a list beside
            # a number.
            found = next((check for member in members if (check := _member_check(member))), None)
            return found and (lambda value: value is None or found(value))
    return None


def _member_check(node: inspect.Type) -> _Check | None:
    check, member = _check_of(node), unwrapped(node)[0]
    if check is not None and isinstance(member, inspect.ListType):
        return lambda value: type(value) is not list or check(value)
    if check is None or not isinstance(member, inspect.StructType):
        return check
    return lambda value: not isinstance(value, member.cls) or check(value)


def _fields_check(fields: Iterable[inspect.Field]) -> _Check | None:
    checks = [(field.name, check) for field in fields if (check := _check_of(field.type))]

    def accepts(value: Any) -> bool:
        for name, check in checks:
            element = getattr(value, name)
            if element is not None and element is not UNSET and not check(element):
                return False
        return True

    return accepts if checks else None


def _elements_check(element: _Check | None) -> _Check | None:
    return element and (lambda values: all(map(element, values)))


def _entries_check(key: _Check | None, element: _Check | None) -> _Check | None:
    accepted: set[str] = set()

    def accepts(value: Mapping[str, Any]) -> bool:
        if key and not accepted.issuperset(value):
            if not all(map(key, value)):
                return False
            if len(accepted) < _ACCEPTED_KEYS:
                accepted.update(value)
        return element is None or all(map(element, value.values()))

    return accepts if key or element else None
