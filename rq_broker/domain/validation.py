"""The rules for names, texts and numbers, as types.

msgspec checks the types, JSON Schema shows them, and the functions here name what breaks them: each
takes a value and the place where it stands, and raises Invalid with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any
from unicodedata import category

from msgspec import Meta

from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import dumps

MAX_WHOLE = 2**53 - 1
"""Largest whole number that the score of a sorted set holds exactly."""

_SHOWN_LETTERS = 60
"""How much of a refused value a sentence repeats."""


_DOTS = (".", "..")


@dataclass(frozen=True, slots=True)
class Text:
    """A string of 1 to `limit` bytes of UTF-8 without control characters."""

    limit: int
    forbidden: str = ""
    segment: bool = False
    """Whether it has to stand as one segment of a URL's path: `.` and `..` cannot."""
    may_be_empty: bool = False
    noun: str = "the name"
    """What a sentence calls it where it is a key of an object."""

    def acceptor(self) -> Callable[[str], bool]:
        """Build the function that tells whether a string keeps the rule, fast for plain ASCII."""
        low, limit, problem = 0 if self.may_be_empty else 1, self.limit, self.problem
        letters, dots = tuple(self.forbidden), _DOTS if self.segment else ()

        def accepts(value: str) -> bool:
            if not (value.isascii() and value.isprintable()):
                return not problem(value)
            if not low <= len(value) <= limit:
                return False
            for letter in letters:
                if letter in value:
                    return False
            return value not in dots

        return accepts

    def problem(self, value: str) -> str:
        """Say what is wrong with a string, '' if nothing."""
        if not value and not self.may_be_empty:
            return "must not be empty"
        if len(value) > self.limit or len(value.encode(errors="replace")) > self.limit:
            return f"must not be longer than {self.limit} bytes"
        if any(category(letter) == "Cc" for letter in value):
            return "must not contain control characters"
        for letter in self.forbidden:
            if letter in value:
                return f"must not contain '{letter}'"
        if self.segment and value in _DOTS:
            return f"must not be '{value}', which no URL can name"
        return ""

    def check(self, value: Any, place: str, shown: bool = True) -> str:
        """Return the value if it is such a string."""
        if type(value) is not str:
            if value is None:
                raise Invalid(f"{place} is required")
            raise Invalid(f"{place} must be a string{but(value, shown)}")
        if problem := self.problem(value):
            raise Invalid(f"{place} {problem}")
        return value

    def meta(self, description: str = "") -> Meta:
        """Build what an `Annotated[str, …]` needs to carry the rule into checks and schemas."""
        dots = r"(?!\.\.?$)" if self.segment else ""
        letters = rf"[^\u0000-\u001f\u007f-\u009f{self.forbidden}]"
        return Meta(
            min_length=None if self.may_be_empty else 1,
            max_length=self.limit,
            description=description or f"At most {self.limit} bytes of UTF-8.",
            extra_json_schema={"pattern": f"^{dots}{letters}{'*' if self.may_be_empty else '+'}$"},
            extra={"text": self},
        )


NAME = Text(255, "/", segment=True)
LABEL = Text(255)
TYPE_NAME = Text(64, "/{}", segment=True)
OWNER = Text(255, noun="the owner")

Name = Annotated[str, NAME.meta()]
"""What a path names: a job, a host."""
Label = Annotated[str, LABEL.meta()]
TypeName = Annotated[str, TYPE_NAME.meta()]
Owner = Annotated[str, OWNER.meta()]
Count = Annotated[int, Meta(ge=0, le=MAX_WHOLE)]
Priority = Annotated[int, Meta(ge=-MAX_WHOLE, le=MAX_WHOLE)]


def show(value: object) -> str:
    """Render a refused value for a sentence, shortened."""
    rendered = dumps(value)
    return rendered if len(rendered) <= _SHOWN_LETTERS else f"{rendered[:_SHOWN_LETTERS]}…"


def but(value: object, shown: bool = True) -> str:
    """End a sentence with the refused value, unless it may be a secret."""
    return f", not {show(value)}" if shown else ""


def obj(value: Any, place: str, shown: bool = True) -> dict[str, Any]:
    """Expect a JSON object."""
    if type(value) is dict:
        return value
    if value is None:
        raise Invalid(f"{place} is required")
    raise Invalid(f"{place} must be a JSON object{but(value, shown)}")


def whole(value: Any, place: str, low: int = 0, high: int = MAX_WHOLE, shown: bool = True) -> int:
    """Expect a whole number from `low` to `high`; 1.0 is none, nor is true."""
    if type(value) is int and low <= value <= high:
        return value
    if type(value) is int and value >= low:
        raise Invalid(f"{place} must be at most {high}{but(value, shown)}")
    raise Invalid(f"{place} must be a whole number ≥ {low}{but(value, shown)}")


def flag(value: Any, place: str, shown: bool = True) -> bool:
    """Expect true or false."""
    if type(value) is bool:
        return value
    raise Invalid(f"{place} must be true or false{but(value, shown)}")


def one_of(value: Any, place: str, allowed: Collection[str], shown: bool = True) -> str:
    """Expect one of a few words."""
    if type(value) is str and value in allowed:
        return value
    raise Invalid(f"{place} must be one of {', '.join(allowed)}{but(value, shown)}")


def only(names: Collection[str], allowed: Collection[str], noun: str) -> None:
    """Refuse a name that is not among the allowed ones."""
    for name in names:
        if name not in allowed:
            raise Invalid(f"{noun} {show(name)} is not known; known are {', '.join(allowed)}")
