"""The rules for names, texts and numbers, as types and as checks.

A check takes a value and its place, the words by which a sentence calls it, for example
`data.instances[0].GPU`. It returns the value or raises Invalid. With `shown` False, for what may be
a secret, the sentence does not repeat the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, Any
from unicodedata import category, is_normalized

from msgspec import Meta

from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import dumps
from rq_broker.domain.similar import did_you_mean

MAX_WHOLE = 2**53 - 1
"""Largest whole number that the score of a sorted set holds exactly."""

_SHOWN_CHARACTERS = 60
"""How much of a refused value a sentence repeats. Less hides the mistake; much more of a body of
1 MiB would only fill the log."""
_DOTS = (".", "..")
"""Segments that a URL's path cannot have: clients and proxies resolve them."""
_INVISIBLE_RANGES = (
    "\u00a0\u00a0\u00ad\u00ad\u034f\u034f\u061c\u061c\u115f\u1160\u1680\u1680\u17b4\u17b5\u180b\u180f"
    "\u2000\u200f\u2028\u202f\u205f\u206f\u2800\u2800\u3000\u3000\u3164\u3164\ufe00\ufe0f\ufeff\ufeff"
    "\uffa0\uffa0\ufff0\ufff8\U0001bca0\U0001bca3\U0001d173\U0001d17a\U000e0000\U000e0fff"
)
"""First and last of each range of letters that show nothing, or only a space: what Unicode calls
default ignorable (joiners, marks of direction, fillers), and all spaces but the plain one."""
_PAIRS = [*zip(_INVISIBLE_RANGES[::2], _INVISIBLE_RANGES[1::2], strict=True)]
INVISIBLE = re.compile("[" + "".join(f"{a}-{z}" for a, z in _PAIRS) + "]")
"""Any of them."""
_INVISIBLE = "".join(rf"\u{ord(a):04x}-\u{ord(z):04x}" for a, z in _PAIRS if z <= "\uffff")
"""The same in a pattern of JSON Schema, which cannot name letters beyond U+FFFF everywhere."""


_REFUSED = {"Cc": "must not contain control characters", "Cs": "must be text in UTF-8"}
"""Unicode's category → what is wrong. Surrogates stand for bytes of a command line that are no
UTF-8."""


@dataclass(frozen=True, slots=True)
class Text:
    """The rule for a string: 1 to `limit` bytes of UTF-8 without control characters."""

    limit: int
    forbidden: str = ""
    """Characters that it must not contain either."""
    is_segment: bool = False
    """Whether it is a segment of a URL's path, and so neither `.` nor `..`."""
    may_be_empty: bool = False
    has_one_spelling: bool = False
    """Whether texts that look the same must be the same: in Unicode's form NFC, without letters
    that nobody sees, and trimmed. Two owners `lab` and `lab ` would have one limit each."""
    reserved: str = ""
    """A text that stands for something else, and `meaning` what; '' for none."""
    meaning: str = ""
    noun: str = "the name"
    """What a sentence calls the string where it is a key of an object."""

    def problem(self, value: str) -> str:
        """Return what is wrong with a string, '' if nothing is."""
        if not value and not self.may_be_empty:
            return "must not be empty"
        if len(value) > self.limit or len(value.encode(errors="replace")) > self.limit:
            return f"must not be longer than {self.limit} bytes"
        if wrong := next(filter(None, map(_REFUSED.get, map(category, value))), ""):
            return wrong
        for character in self.forbidden:
            if character in value:
                return f"must not contain '{character}'"
        if value in self._not_names:
            return f"must not be '{value}', which {self._not_names[value]}"
        return _spelling_problem(value) if self.has_one_spelling else ""

    @property
    def _not_names(self) -> dict[str, str]:
        """Texts that name nothing, and why."""
        dots = dict.fromkeys(_DOTS, "no URL can name") if self.is_segment else {}
        return dots | ({self.reserved: f"stands for {self.meaning}"} if self.reserved else {})

    def acceptor(self) -> Callable[[str], bool]:
        """Return a function that checks whether a string keeps the rule, fast for plain ASCII."""
        low, limit, problem = 0 if self.may_be_empty else 1, self.limit, self.problem
        forbidden, refused = tuple(self.forbidden), tuple(self._not_names)
        may_have_space = not self.has_one_spelling

        def accepts(value: str) -> bool:
            if not (value.isascii() and value.isprintable()):
                return not problem(value)
            if not low <= len(value) <= limit:
                return False
            for character in forbidden:
                if character in value:
                    return False
            return value not in refused and (may_have_space or value == value.strip())

        return accepts

    def check(self, value: Any, place: str, shown: bool = True) -> str:
        """Return the value if it is a string that keeps the rule."""
        if type(value) is not str:
            if value is None:
                raise Invalid(f"{place} is required")
            raise Invalid(f"{place} must be a string{rejected(value, shown)}")
        if problem := self.problem(value):
            # Of a text that is empty or too long, its length says more than itself.
            found = f": {show(_encodable(value))}" if shown and "contain" in problem else ""
            raise Invalid(f"{place} {problem}{found}")
        return value

    def meta(self, description: str = "") -> Meta:
        """Return what makes `Annotated[str, …]` carry the rule into checks and JSON Schema."""
        start = r"(?!\.\.?$)" if self.is_segment else ""
        start += f"(?!{re.escape(self.reserved)}$)" if self.reserved else ""
        start, end = (f"{start}(?! )", "(?<! )") if self.has_one_spelling else (start, "")
        hidden = _INVISIBLE if self.has_one_spelling else ""
        character = rf"[^\u0000-\u001f\u007f-\u009f{hidden}{self.forbidden}]"
        return Meta(
            min_length=None if self.may_be_empty else 1,
            max_length=self.limit,
            description=description or f"At most {self.limit} bytes of UTF-8.",
            extra_json_schema={
                "pattern": f"^{start}{character}{'*' if self.may_be_empty else '+'}{end}$"
            },
            extra={"text": self},
        )


def _encodable(value: str) -> str:
    return value.encode(errors="replace").decode()


def _spelling_problem(value: str) -> str:
    """Return what makes a text look like another one, '' if nothing does."""
    if value != value.strip(" "):
        return "must not begin or end with a space"
    if hidden := INVISIBLE.search(value):
        return f"must not contain the invisible character U+{ord(hidden[0]):04X}"
    if not is_normalized("NFC", value):
        return "must be in Unicode's normal form NFC"
    return ""


NAME = Text(255, "/", is_segment=True)
LABEL = Text(255)
TYPE_NAME = Text(64, "/{}", is_segment=True)
NEW_TYPE_NAME = Text(64, "/{}", is_segment=True, has_one_spelling=True)
"""The name of a type that is to be made. One that is there may have any that TYPE_NAME allows, as
all had before."""
SOURCE_NAME = Text(64, "/{} ", is_segment=True)
OWNER_OR_ALL = Text(255, has_one_spelling=True, noun="the owner")
"""Of whom limits, weights and keys are: `*` stands for every owner that has none of its own."""
OWNER = replace(OWNER_OR_ALL, reserved="*", meaning="every owner")
"""Whose a job is, and for whom an identity acts. One named `*` would have what every owner has."""
NEW_HOST_NAME = Text(255, "/", is_segment=True, has_one_spelling=True)
"""The name of a host that is published over HTTP. A source's are as the source has them."""

Name = Annotated[str, NAME.meta()]
"""The name of a job or a host, which a path contains."""
Label = Annotated[str, LABEL.meta()]
TypeName = Annotated[str, TYPE_NAME.meta()]
Owner = Annotated[str, OWNER.meta()]
OwnerOrAll = Annotated[str, OWNER_OR_ALL.meta()]
Count = Annotated[int, Meta(ge=0, le=MAX_WHOLE)]
Priority = Annotated[int, Meta(ge=-MAX_WHOLE, le=MAX_WHOLE)]
LONGEST_SPAN = 100 * 366 * 86400
"""The longest span, seconds. Its milliseconds, added to a time, stay far below 2^53."""
Span = Annotated[float, Meta(ge=0, le=LONGEST_SPAN)]
"""Seconds, whole or not."""
HoldSpan = Annotated[float, Meta(gt=0, le=LONGEST_SPAN)]
"""Seconds for which a job holds its capacity."""


def show(value: object) -> str:
    """Render a value for a sentence as JSON, shortened."""
    rendered = dumps(_beginning(value))
    return rendered if len(rendered) <= _SHOWN_CHARACTERS else f"{rendered[:_SHOWN_CHARACTERS]}…"


def _beginning(value: object) -> object:
    """Return what suffices to show the value: each element takes two characters at least."""
    if isinstance(value, list):
        return [_beginning(element) for element in value[:_SHOWN_CHARACTERS]]
    if isinstance(value, dict):
        return {
            key: _beginning(element) for key, element in islice(value.items(), _SHOWN_CHARACTERS)
        }
    return value


def rejected(value: object, shown: bool = True) -> str:
    """Render the end of a sentence that says what a value must be: `, not 5`."""
    return f", not {show(value)}" if shown else ""


def json_object(value: Any, place: str, shown: bool = True) -> dict[str, Any]:
    """Return the value if it is a JSON object."""
    if type(value) is dict:
        return value
    if value is None:
        raise Invalid(f"{place} is required")
    raise Invalid(f"{place} must be a JSON object{rejected(value, shown)}")


def whole_number(
    value: Any, place: str, low: int = 0, high: int = MAX_WHOLE, shown: bool = True
) -> int:
    """Return the value if it is a whole number from `low` to `high`; 1.0 and true are not."""
    if type(value) is int and low <= value <= high:
        return value
    raise Invalid(f"{place} must be {whole_number_range(low, high)}{rejected(value, shown)}")


def whole_number_range(low: int, high: int) -> str:
    """Render the range of a number for a sentence: `a whole number from 0 to 2^53−1`."""
    shown = {MAX_WHOLE: "2^53−1", -MAX_WHOLE: "−(2^53−1)"}
    return f"a whole number from {shown.get(low, low)} to {shown.get(high, high)}"


def boolean(value: Any, place: str, shown: bool = True) -> bool:
    """Return the value if it is true or false."""
    if type(value) is bool:
        return value
    raise Invalid(f"{place} must be true or false{rejected(value, shown)}")


def one_of(value: Any, place: str, allowed: Collection[str], shown: bool = True) -> str:
    """Return the value if it is one of the allowed words."""
    if type(value) is str and value in allowed:
        return value
    raise Invalid(f"{place} must be one of {', '.join(allowed)}{rejected(value, shown)}")


def the_word(value: Any, place: str, word: str, nullable: bool, shown: bool = True) -> str:
    """Return the value if it is the only allowed word; `nullable` only adds null to a sentence."""
    if value == word:
        return word
    expected = f"{show(word)} or null" if nullable else show(word)
    raise Invalid(f"{place} must be {expected}{rejected(value, shown)}")


def refuse_unknown(names: Collection[str], allowed: Collection[str], noun: str) -> None:
    """Raise Invalid for the first name that is not allowed; `noun` is what a sentence calls it."""
    for name in names:
        if name not in allowed:
            known = ", ".join(allowed) + did_you_mean(name, allowed)
            raise Invalid(f"{noun} {show(name)} is not known; known are {known}")
