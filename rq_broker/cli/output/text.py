"""Text for a terminal: nothing that a client names can move the cursor, and spans are short."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from unicodedata import combining, is_normalized

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, what turns the direction of writing, and what is no text."""
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def harmless(text: str) -> str:
    """Return a text with its control characters escaped."""
    return _UNSAFE.sub(_escaped, text)


def visible(name: str) -> str:
    """Return a name so that it looks like no other: what nobody sees in it is escaped or quoted."""
    from rq_broker.domain.validation import INVISIBLE  # noqa: PLC0415 - not needed by --help

    shown = INVISIBLE.sub(_escaped, name)
    if not is_normalized("NFC", shown):
        shown = "".join(_escape(letter) if combining(letter) else letter for letter in shown)
    return shown if name == name.strip() and name else f'"{shown}"'


def _escaped(match: re.Match[str]) -> str:
    return _escape(match.group())


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode()


def harmless_json(text: str) -> str:
    """Return JSON that means the same, with control characters of its strings escaped."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def span(seconds: float) -> str:
    """Render seconds by their two largest units: `45s`, `3m`, `2h05m`, `4d`."""
    left = max(0, round(seconds))
    index = next(index for index, (_, size) in enumerate(_UNITS) if left >= size or size == 1)
    unit, size = _UNITS[index]
    whole, rest = divmod(left, size)
    if whole >= 10 or size == 1:
        return f"{whole}{unit}"
    unit_below, size_below = _UNITS[index + 1]
    below = rest // size_below
    return f"{whole}{unit}{below:02d}{unit_below}" if below else f"{whole}{unit}"


def moment(text: str) -> datetime:
    """Parse a time of the API: RFC 3339 in UTC."""
    return datetime.fromisoformat(text)


def age(text: str, now: datetime | None = None) -> str:
    """Render how long ago a time of the API was."""
    return span(((now or datetime.now(UTC)) - moment(text)).total_seconds())


def clock(unix_time: float) -> str:
    """Render a Unix time as that of the terminal's clock, with its date."""
    return f"{datetime.fromtimestamp(unix_time).astimezone():%Y-%m-%d %H:%M:%S}"
