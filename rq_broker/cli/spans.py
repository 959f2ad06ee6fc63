"""The type of an option that takes a span of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from rq_broker.domain.identity import LONGEST_LIFE


class _Span(click.ParamType[float]):
    """A span of time: `90d`, `12h`, `30m`, `15s`, or a number of seconds."""

    name = "span"
    _UNITS: Mapping[str, int] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def __init__(self, most: int | None = None) -> None:
        """Take the most seconds, with which 0 is refused as well; None bounds nothing."""
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds of a span."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
        if not match:
            self.fail(f"{value!r} is not a span such as 90d, 12h, 30m or 15s", param, ctx)
        seconds = float(match[1]) * self._UNITS[match[2]]
        if self._most and not 0 < seconds <= self._most:
            self.fail(f"{value} is not above 0 and {self._most // 86400}d at most", param, ctx)
        return seconds


SPAN = _Span()
LIFETIME = _Span(LONGEST_LIFE)
"""How long a token lives."""
