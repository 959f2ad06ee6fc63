"""Finds where a value does not fit its type; the only module that words the sentences of a 400.

A sentence names the field, what it must be, and the value that came, unless that may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from enum import Enum
from functools import cache
from typing import Any, NoReturn

from msgspec import inspect

from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import Number
from rq_broker.domain.validation import (
    LABEL,
    MAX_WHOLE,
    boolean,
    json_object,
    one_of,
    refuse_unknown,
    rejected,
    show,
    the_word,
    whole_number,
    whole_number_range,
)

type_info: Callable[[Any], inspect.Type] = cache(inspect.type_info)


def unwrapped(node: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """Return a type without its metadata, and what the metadata says besides the schema."""
    extra: dict[str, Any] = {}
    while isinstance(node, inspect.Metadata):
        extra |= node.extra or {}
        node = node.type
    return node, extra


def refuse(value: Any, type_: Any, place: str, error: Exception | None = None) -> NoReturn:
    """Raise Invalid for the first part of a value that does not fit.

    Args:
        place: What the sentence calls the whole value; its fields are named without it.
        error: msgspec's error, used if no part is at fault.
    """
    _Search(place, shows_values=not getattr(type_, "secret", False)).visit(
        value, type_info(type_), place
    )
    raise Invalid(f"{place} is not valid: {error}")


class _Search:
    """Walks through a value and its type side by side, until some part does not fit."""

    def __init__(self, top: str, *, shows_values: bool) -> None:
        self._top = top
        self._shown = shows_values

    def visit(self, value: Any, node: inspect.Type, place: str, nullable: bool = False) -> None:
        """Raise Invalid unless the value fits; `nullable` means that null would fit as well."""
        node, extra = unwrapped(node)
        match node:
            case inspect.UnionType():
                self._union(value, node, place)
            case inspect.StructType() | inspect.DataclassType():
                self._fields(value, node, place)
            case inspect.DictType():
                self._entries(value, node, place, extra.get("words", {}))
            case inspect.ListType() | inspect.FrozenSetType():
                self._elements(value, node, place, extra.get("items") or _noun_of(node.item_type))
            case inspect.StrType():
                self._text(value, node, place, extra)
            case inspect.FloatType():
                self._number(value, node, place, nullable, extra.get("noun", "seconds"))
            case _:
                self._scalar(value, node, place, nullable)

    def _scalar(self, value: Any, node: inspect.Type, place: str, nullable: bool) -> None:
        match node:
            case inspect.IntType(ge=low, le=high):
                whole_number(value, place, low or 0, high or MAX_WHOLE, self._shown)
            case inspect.BoolType():
                boolean(value, place, self._shown)
            case inspect.EnumType(cls=words):
                one_of(value, place, [str(word.value) for word in words], self._shown)
            case inspect.LiteralType(values=(str(word),)):
                the_word(value, place, word, nullable, self._shown)
            case inspect.LiteralType(values=words):
                one_of(value, place, [str(word) for word in words], self._shown)

    def _union(self, value: Any, node: inspect.UnionType, place: str) -> None:
        members = [member for member in node.types if not isinstance(member, inspect.NoneType)]
        nullable = len(members) < len(node.types)
        if nullable and value is None:
            return
        match [unwrapped(member)[0] for member in members]:
            case [inspect.IntType(ge=low, le=high), inspect.EnumType(cls=words)]:
                self._number_or_word(value, place, low or 0, high or MAX_WHOLE, list(words))
            case [inspect.LiteralType(values=(str(word),)), inspect.StructType() as struct]:
                self._word_or_object(value, place, word, struct)
            case [inspect.IntType(), inspect.ListType(), *_] if type(value) is list:
                self.visit(value, members[1], place)
            case [inspect.IntType(), *_, inspect.StructType()] if type(value) is dict:
                self.visit(value, members[-1], place)
            case _:
                self.visit(value, members[0], place, nullable)

    def _number_or_word(
        self, value: Any, place: str, low: int, high: int, words: list[Enum]
    ) -> None:
        allowed = [str(word.value) for word in words]
        if value in allowed or (type(value) is int and low <= value <= high):
            return
        expected = f"{whole_number_range(low, high)}, {' or '.join(allowed)}"
        raise Invalid(f"{place} must be {expected}{rejected(value, self._shown)}")

    def _word_or_object(
        self, value: Any, place: str, word: str, struct: inspect.StructType
    ) -> None:
        if type(value) is dict:
            self.visit(value, struct, place)
        elif value != word:
            expected = f"{show(word)}, a JSON object or null"
            raise Invalid(f"{place} must be {expected}{rejected(value, self._shown)}")

    def _fields(
        self, value: Any, node: inspect.StructType | inspect.DataclassType, place: str
    ) -> None:
        names = [field.name for field in node.fields]
        if isinstance(node, inspect.DataclassType):
            values = {name: getattr(value, name) for name in names}
        else:
            if value is None and place == self._top:
                raise Invalid(f"{place} must be a JSON object, not null")
            values = json_object(value, place, self._shown)
            if node.forbid_unknown_fields:
                default = "the field" if place == self._top else f"the field of {place}"
                noun = getattr(node.cls, "noun", default)
                computed = getattr(node.cls, "computed", ())
                self._known([name for name in values if name not in computed],
                            [name for name in names if name not in computed], noun)  # fmt: skip
        prefix = "" if place == self._top else f"{place}."
        for field in node.fields:
            if field.name in values or field.required:
                self.visit(values.get(field.name), field.type, f"{prefix}{field.name}")

    def _known(self, given: Collection[str], names: Sequence[str], noun: str) -> None:
        if self._shown:
            refuse_unknown(given, names, noun)
        elif not set(given) <= set(names):
            raise Invalid(f"the body must have no field besides {' and '.join(names)}")

    def _entries(
        self, value: Any, node: inspect.DictType, place: str, words: Mapping[str, Any]
    ) -> None:
        """Visit the values; `words`: key → the type that is meant if it is no number or object."""
        rule = unwrapped(node.key_type)[1].get("text", LABEL)
        entries = json_object(value, place, self._shown)
        if node.max_length is not None and len(entries) > node.max_length:
            raise Invalid(f"{place} must have at most {node.max_length} fields, not {len(entries)}")
        if node.min_length and not entries:
            raise Invalid(f"{place} must not be empty")
        if isinstance(node.key_type, inspect.LiteralType):
            known = [str(word) for word in node.key_type.values]
            refuse_unknown(entries, known, f"the field of {place}")
        for key, element in entries.items():
            key_place = f"{place}: {rule.noun}"
            # The place names the key already.
            rule.check(key, f"{key_place} {show(key)}" if self._shown else key_place, shown=False)
            is_word = key in words and type(element) not in (int, dict)
            meant = type_info(words[key]) if is_word else node.value_type
            self.visit(element, meant, f"{place}.{key}" if self._shown else place)

    def _elements(
        self, value: Any, node: inspect.ListType | inspect.FrozenSetType, place: str, noun: str
    ) -> None:
        low, high = node.min_length or 0, node.max_length
        count = f"{low} to {high} " if low and high else f"at most {high} " if high else ""
        expected = f"{place} must be a list of {count}{noun}"
        if isinstance(node, inspect.FrozenSetType) and isinstance(value, Set | tuple):
            value = sorted(value, key=str)
        if isinstance(value, tuple):
            value = list(value)
        if value is None:
            raise Invalid(f"{place} is required")
        if type(value) is not list:
            raise Invalid(f"{expected}{rejected(value, self._shown)}")
        if len(value) < low or (high is not None and len(value) > high):
            raise Invalid(f"{expected}, not of {len(value)}")
        for number, element in enumerate(value):
            self.visit(element, node.item_type, f"{place}[{number}]")

    def _text(
        self, value: Any, node: inspect.StrType, place: str, extra: Mapping[str, Any]
    ) -> None:
        if "text" in extra:
            extra["text"].check(value, place, self._shown)
        elif type(value) is not str:
            raise Invalid(f"{place} must be a string{rejected(value, self._shown)}")
        elif node.min_length is not None and len(value) < node.min_length:
            raise Invalid(f"{place} must not be empty")
        elif node.max_length is not None and len(value) > node.max_length:
            raise Invalid(f"{place} must be a string of at most {node.max_length} characters")

    def _number(
        self, value: Any, node: inspect.FloatType, place: str, nullable: bool, noun: str
    ) -> None:
        number = float(value.text) if isinstance(value, Number) else value
        above, low, high = node.gt, node.ge or 0, node.le or MAX_WHOLE
        is_number = type(number) in (int, float)
        if is_number and low <= number <= high and (above is None or number > above):
            return
        if above is None:
            expected, null = f"{noun} from {low} to {high}", ", or null for without end"
        else:
            expected, null = f"{noun} above {above}, {high} at most", ", or null"
        expected += null if nullable else ""
        raise Invalid(f"{place} must be {expected}{rejected(value, self._shown)}")


def _noun_of(node: inspect.Type) -> str:
    """Return what a sentence calls the elements of a list of this type."""
    match unwrapped(node)[0]:
        case inspect.StructType() | inspect.DictType():
            return "objects"
        case inspect.IntType():
            return "whole numbers"
    return "strings"
