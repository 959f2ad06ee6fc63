"""What the parameters of a path name."""

from __future__ import annotations

from functools import lru_cache

from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import TYPE_NAME


def type_name(value: str) -> str:
    """Check the name of a type, as the path gives it."""
    # A long name is refused before the cache could keep it.
    return _type_name(value) if len(value) <= TYPE_NAME.limit else TYPE_NAME.check(value, "type")


@lru_cache(1024)
def _type_name(value: str) -> str:
    if "\ufffd" in value:
        raise Invalid("type must be percent-encoded UTF-8")
    return TYPE_NAME.check(value, "type")
