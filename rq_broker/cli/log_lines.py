"""How every process of the broker logs: one format, from one level on.

A line begins with its time, and nothing that a client names can begin another one: control
characters are escaped, and the lines of a traceback are indented. Credentials are taken out.
"""

from __future__ import annotations

import logging
import re
from types import TracebackType

from rq_broker.domain.scrubbing import scrubbed

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_INDENT = "    "
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, line separators, and what turns the direction of writing."""


class LineFormatter(logging.Formatter):
    """Writes a record as one line, and its traceback as indented ones."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line of a record."""
        return _escaped(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and its traceback."""
        record.exc_text = None  # where another formatter keeps its traceback
        return scrubbed(super().format(record))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the name is logging's
        """Return the lines of a traceback."""
        text = super().formatException(ei)
        return "\n".join(_INDENT + _escaped(line) for line in text.split("\n"))


def set_up_logging(level: str = "info") -> None:
    """Log to standard error from this level on, that of uvicorn included."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(level.upper())
    # httpx logs each request: one line for every poll of a source that uses it.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
