"""The terms of a single job: when it may be granted, for how long, and after which others."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import rejected

MOST_AFTER = 100
"""Jobs that one job may wait for. A submit checks each of them, and a job that leaves its place
beside the line is taken out of the set of each: with many more one script would hold up others."""
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Terms(Struct, frozen=True):
    """What a submit asks for its job alone. Jobs without terms have None in place of this."""

    not_before: int | None = None
    """The job is not granted earlier; ms since 1970."""
    give_up_after: float | None = None
    """Seconds in the line after which it ends in error."""
    hold_at_most: float | None = None
    """Seconds for which it may run without renewing."""
    after: tuple[str, ...] = ()
    """request_ids of the jobs that have to end before it joins the line."""
    after_any: bool = False
    """Whether any end of these will do; else each has to be `done`."""


class AtOnce(Struct, frozen=True, forbid_unknown_fields=True):
    """How many jobs of one array may hold capacity at the same time."""

    array: str
    """The name of the array."""
    most: int


def milliseconds_of(value: Any, place: str) -> int:
    """Read a time in RFC 3339, at most to the ms, as ms since 1970; later ones round up.

    Raises Invalid, with the place, for any other value.
    """
    try:
        if not _RFC3339.fullmatch(value):
            raise ValueError
        moment = datetime.fromisoformat(value.upper()) - _EPOCH
        if moment.days < 0:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        text = f'{place} must be a time by RFC 3339, such as "2027-01-31T08:00:00Z"'
        if isinstance(value, str) and _RFC3339.fullmatch(f"{value}Z"):
            missing = "its zone is missing, Z or an offset such as +08:00"
            raise Invalid(f"{text}{rejected(value)}: {missing}") from None
        raise Invalid(text + rejected(value)) from None
    whole_ms, rest = divmod(moment, timedelta(milliseconds=1))
    return whole_ms + bool(rest)
