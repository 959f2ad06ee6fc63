"""The type of an option that takes a span of time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click


class _Span(click.ParamType[float]):
    """A span of time: `90d`, `12h`, `30m`, `15s`, or a number of seconds."""

    name = "span"
    _UNITS: Mapping[str, int] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds of a span."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
        if not match:
            self.fail(f"{value!r} is not a span such as 90d, 12h, 30m or 15s", param, ctx)
        return float(match[1]) * self._UNITS[match[2]]


SPAN = _Span()
