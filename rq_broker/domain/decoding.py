"""From parsed JSON or TOML to a typed value, or a sentence that names the field.

msgspec converts and checks natively. What it cannot check (bytes of UTF-8, control characters) is
checked by functions built once from the same declared types. Only where either refuses is the value
walked again beside its type, to say where and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, inspect

from rq_broker.domain import validation
from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import Number

_Target = TypeVar("_Target")
_Check = Callable[[Any], bool]

_KNOWN_KEYS = 4096
"""How many accepted keys one type remembers: resource names come again and again. The limit keeps
a client that invents names from filling the memory."""


def convert(value: Any, type_: type[_Target], place: str = "the body") -> _Target:
    """Convert parsed JSON to a type; raises Invalid for the first part that does not fit.

    A struct may say with `noun` what a sentence calls its fields, and with `secret` that no
    sentence repeats a value.
    """
    target: Any = type_
    accepts = texts_check(target)
    try:
        converted = msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        try:
            converted = msgspec.convert(_rounded(value), type_)
        except msgspec.ValidationError:
            refuse(value, type_, place)
            raise Invalid(str(error)) from None
    if not accepts(converted):
        refuse(value, type_, place)
    return converted


def _rounded(value: Any) -> Any:
    """Replace each number that was kept as text by the nearest float: a span may be one."""
    if isinstance(value, Number):
        return float(value.text)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


# What msgspec cannot check


_type_info: Callable[[Any], inspect.Type] = cache(inspect.type_info)


@cache
def texts_check(type_: Any) -> _Check:
    """Build the check of what msgspec leaves to us in a value of a type."""
    return _texts(_type_info(type_)) or (lambda _: True)


def _texts(node: inspect.Type) -> _Check | None:
    """Build the check of the texts in a converted value; None where its type has none."""
    rule, node = _unwrapped(node)
    match node:
        case inspect.StrType() if "text" in rule:
            accepts: _Check = rule["text"].acceptor()
            return accepts
        case inspect.StructType(fields=fields):
            return _fields_check(fields)
        case inspect.ListType(item_type=item):
            return _items_check(_texts(item))
        case inspect.DictType(key_type=key, value_type=item):
            return _entries_check(_texts(key), _texts(item))
        case inspect.UnionType(types=types):
            # Where a union has a text, the other members are null, which is no string to check.
            return next((check for member in types if (check := _texts(member))), None)
    return None


def _fields_check(fields: tuple[inspect.Field, ...]) -> _Check | None:
    checks = [(field.name, check) for field in fields if (check := _texts(field.type))]

    def accepts(value: Any) -> bool:
        for name, check in checks:
            inner = getattr(value, name)
            if inner is not None and inner is not UNSET and not check(inner):
                return False
        return True

    return accepts if checks else None


def _items_check(item: _Check | None) -> _Check | None:
    return item and (lambda values: all(map(item, values)))


def _entries_check(key: _Check | None, item: _Check | None) -> _Check | None:
    accepted: set[str] = set()

    def accepts(value: Mapping[str, Any]) -> bool:
        if key and not accepted.issuperset(value):
            if not all(map(key, value)):
                return False
            if len(accepted) < _KNOWN_KEYS:
                accepted.update(value)
        return item is None or all(map(item, value.values()))

    return accepts if key or item else None


def _unwrapped(node: inspect.Type) -> tuple[dict[str, Any], inspect.Type]:
    """Take a type out of its metadata."""
    extra: dict[str, Any] = {}
    while isinstance(node, inspect.Metadata):
        extra |= node.extra or {}
        node = node.type
    return extra, node


# What a sentence says


def refuse(value: Any, type_: Any, place: str) -> None:
    """Raise Invalid for the first part of a value that its type does not allow."""
    shown = not getattr(type_, "secret", False)
    _Walk(place, shown).visit(value, _type_info(type_), place)


class _Walk:
    """Goes through a value and its type side by side."""

    def __init__(self, top: str, shown: bool) -> None:
        self._top = top
        self._shown = shown

    def visit(self, value: Any, node: inspect.Type, place: str, nullable: bool = False) -> None:
        """Raise Invalid unless the type allows the value; `nullable` where it allows null too."""
        rule, node = _unwrapped(node)
        match node:
            case inspect.UnionType():
                self._union(value, node, place)
            case inspect.StructType() | inspect.DataclassType():
                self._fields(value, node, place)
            case inspect.DictType():
                self._entries(value, node, place)
            case inspect.ListType() | inspect.FrozenSetType():
                self._items(value, node, place, rule.get("items", "strings"))
            case inspect.StrType():
                self._text(value, node, place, rule)
            case inspect.FloatType():
                self._seconds(value, node, place, nullable)
            case _:
                self._word(value, node, place)

    def _word(self, value: Any, node: inspect.Type, place: str) -> None:
        match node:
            case inspect.IntType(ge=low, le=high):
                validation.whole(value, place, low or 0, high or validation.MAX_WHOLE, self._shown)
            case inspect.BoolType():
                validation.flag(value, place, self._shown)
            case inspect.EnumType(cls=words):
                validation.one_of(value, place, [str(word.value) for word in words], self._shown)
            case inspect.LiteralType(values=words):
                validation.one_of(value, place, [str(word) for word in words], self._shown)

    def _union(self, value: Any, node: inspect.UnionType, place: str) -> None:
        members = [kind for kind in node.types if not isinstance(kind, inspect.NoneType)]
        nullable = len(members) < len(node.types)
        if nullable and value is None:
            return
        numbers = [kind for kind in members if isinstance(_unwrapped(kind)[1], inspect.IntType)]
        others = [kind for kind in members if kind not in numbers]
        fitting = numbers if numbers and (type(value) is int or not others) else others
        self.visit(value, fitting[0], place, nullable)

    def _fields(
        self, value: Any, node: inspect.StructType | inspect.DataclassType, place: str
    ) -> None:
        fields = node.fields
        if isinstance(node, inspect.DataclassType) and isinstance(value, node.cls):
            value = {field.name: getattr(value, field.name) for field in fields}
        values = validation.obj(value, place, self._shown)
        if isinstance(node, inspect.StructType) and node.forbid_unknown_fields:
            self._known(values, [field.name for field in fields], node.cls)
        prefix = "" if place == self._top else f"{place}."
        for field in fields:
            if field.name in values or field.required:
                self.visit(values.get(field.name), field.type, f"{prefix}{field.name}")

    def _known(self, values: dict[str, Any], allowed: list[str], type_: type) -> None:
        noun = getattr(type_, "noun", "the field")
        if self._shown:
            validation.only(values, allowed, noun)
        elif not values.keys() <= set(allowed):
            raise Invalid(f"the body must have no field besides {' and '.join(allowed)}")

    def _entries(self, value: Any, node: inspect.DictType, place: str) -> None:
        rule = _unwrapped(node.key_type)[0].get("text", validation.LABEL)
        for key, inner in validation.obj(value, place, self._shown).items():
            rule.check(key, f"{place}: {rule.noun} {validation.show(key)}")
            self.visit(inner, node.value_type, f"{place}.{key}")

    def _items(
        self, value: Any, node: inspect.ListType | inspect.FrozenSetType, place: str, noun: str
    ) -> None:
        low, high = node.min_length, node.max_length
        count = f"{low} to {high} " if low and high else f"at most {high} " if high else ""
        wanted = f"{place} must be a list of {count}{noun}"
        if isinstance(node, inspect.FrozenSetType) and isinstance(value, Set | tuple):
            value = sorted(value, key=str)
        if value is None:
            raise Invalid(f"{place} is required")
        if type(value) is not list:
            raise Invalid(f"{wanted}{validation.but(value, self._shown)}")
        if len(value) < (low or 0) or (high is not None and len(value) > high):
            raise Invalid(f"{wanted}, not of {len(value)}")
        for number, item in enumerate(value):
            self.visit(item, node.item_type, f"{place}[{number}]")

    def _text(self, value: Any, node: inspect.StrType, place: str, rule: Mapping[str, Any]) -> None:
        if "text" in rule:
            rule["text"].check(value, place, self._shown)
        elif type(value) is not str:
            raise Invalid(f"{place} must be a string{validation.but(value, self._shown)}")
        elif node.max_length is not None and len(value) > node.max_length:
            raise Invalid(f"{place} must be a string of at most {node.max_length} characters")

    def _seconds(self, value: Any, node: inspect.FloatType, place: str, nullable: bool) -> None:
        number = float(value.text) if isinstance(value, Number) else value
        low, high = node.ge or 0, node.le
        if type(number) in (int, float) and low <= number and (high is None or number <= high):
            return
        endless = ", or null for without end" if nullable else ""
        bounds = f"seconds from {low} to {high}{endless}"
        raise Invalid(f"{place} must be {bounds}{validation.but(value, self._shown)}")
