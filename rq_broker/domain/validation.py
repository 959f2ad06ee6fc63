"""The checks of which the edge is made: each takes a value and the place it was found at.

Each returns the value with its type proven, or raises Invalid with a sentence that names the place.
A field that is null counts as left out.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any
from unicodedata import category

from rq_broker.domain import exact_json as jsontext
from rq_broker.domain.capacity import MAX_WHOLE, Host
from rq_broker.domain.errors import Invalid

_RESOURCE_BYTES = 64


def show(value: object) -> str:
    """Render a refused value for a sentence, shortened."""
    rendered = jsontext.dumps(value)
    return rendered if len(rendered) <= 60 else f"{rendered[:60]}…"


def obj(value: Any, place: str) -> dict[str, Any]:
    """Expect a JSON object."""
    if type(value) is dict:
        return value
    if value is None:
        raise Invalid(f"{place} is required")
    raise Invalid(f"{place} must be a JSON object, not {show(value)}")


def text(value: Any, place: str, limit: int, forbidden: str = "") -> str:
    """Expect a string of 1 to `limit` bytes of UTF-8, without control or forbidden characters."""
    if type(value) is not str:
        if value is None:
            raise Invalid(f"{place} is required")
        raise Invalid(f"{place} must be a string, not {show(value)}")
    if problem := _problem(value, limit, forbidden):
        raise Invalid(f"{place} {problem}")
    return value


def _problem(value: str, limit: int, forbidden: str) -> str:
    if not value:
        return "must not be empty"
    if len(value) > limit or (not value.isascii() and len(value.encode()) > limit):
        return f"must not be longer than {limit} bytes"
    if not value.isprintable() and any(category(letter) == "Cc" for letter in value):
        return "must not contain control characters"
    for letter in forbidden:
        if letter in value:
            return f"must not contain '{letter}'"
    return ""


def name(value: Any, place: str, limit: int = 255, forbidden: str = "/") -> str:
    """Expect a text that can stand as one segment of a path."""
    found = text(value, place, limit, forbidden)
    if found in (".", ".."):
        raise Invalid(f"{place} must not be '{found}', which no URL can name")
    return found


def whole(value: Any, place: str, low: int = 0, high: int = MAX_WHOLE) -> int:
    """Expect a whole number from `low` to `high`; 1.0 is none, nor is true."""
    if type(value) is int and low <= value <= high:
        return value
    if type(value) is int and value >= low:
        raise Invalid(f"{place} must be at most {high}, not {value}")
    raise Invalid(f"{place} must be a whole number ≥ {low}, not {show(value)}")


def flag(value: Any, place: str) -> bool:
    """Expect true or false."""
    if type(value) is bool:
        return value
    raise Invalid(f"{place} must be true or false, not {show(value)}")


def one_of(value: Any, place: str, allowed: Collection[str]) -> str:
    """Expect one of a few words."""
    if type(value) is str and value in allowed:
        return value
    raise Invalid(f"{place} must be one of {', '.join(allowed)}, not {show(value)}")


def amounts(value: Any, place: str) -> dict[str, int]:
    """Expect an object of resource name → whole number ≥ 0."""
    found = obj(value, place)
    for resource, amount in found.items():
        # The length is looked at first so that no huge name is ever kept by the cache.
        if len(resource) > _RESOURCE_BYTES or _resource_problem(resource):
            problem = _problem(resource, _RESOURCE_BYTES, "/")
            raise Invalid(f"{place}: the resource name {show(resource)} {problem}")
        if type(amount) is not int or not 0 <= amount <= MAX_WHOLE:
            whole(amount, f"{place}.{resource}")
    return found


@lru_cache(4096)
def _resource_problem(resource: str) -> str:
    return _problem(resource, _RESOURCE_BYTES, "/")


def only(found: Collection[str], allowed: Collection[str], place: str) -> None:
    """Refuse what is not among the allowed names."""
    for each in found:
        if each not in allowed:
            raise Invalid(f"{place} {show(each)} is not known; known are {', '.join(allowed)}")


_HOST = ("capacity", "used", "aggregates", "max_unit")


_HOST_COMPUTED = ("name", "held", "free", "dropped", "source")


# Hosts and policy


def host(host_name: str, body: Any) -> Host:
    """Read a host as its source publishes it; what we compute ourselves is ignored."""
    fields = obj(body, "the body")
    only(fields, _HOST + _HOST_COMPUTED, "the field")
    used, aggregates = fields.get("used"), fields.get("aggregates")
    max_unit = fields.get("max_unit")
    if aggregates is not None and type(aggregates) is not list:
        raise Invalid(f"aggregates must be a list of strings, not {show(aggregates)}")
    return Host(
        name(host_name, "the host's name"),
        amounts(fields.get("capacity"), "capacity"),
        amounts({} if used is None else used, "used"),
        aggregates=frozenset(
            text(each, f"aggregates[{number}]", 255) for number, each in enumerate(aggregates or ())
        ),
        max_unit=amounts({} if max_unit is None else max_unit, "max_unit"),
    )
