"""How every process of the broker logs: one format, from one level on.

A line begins with its time, and nothing that a client names can begin another one: control
characters are escaped, and the lines of a traceback are indented; in JSON each line is one object.
Credentials are taken out. The `fields` of a record (`extra={"fields": {...}}`) follow the message.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from rq_broker.cli.output.text import harmless
from rq_broker.domain.identity import ACTOR
from rq_broker.domain.job_log import JOB_LOG
from rq_broker.domain.scrubbing import scrubbed

LogFormat = Literal["text", "json"]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_INDENT = "    "
_PLAIN = re.compile(r"[^\s\"'=\\]+")
"""A value that needs no quotes."""


class LineFormatter(logging.Formatter):
    """Writes a record as one line, and its traceback as indented ones."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line of a record."""
        fields = "".join(f" {name}={_quoted(value)}" for name, value in _fields_of(record).items())
        return harmless(super().formatMessage(record) + fields)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and its traceback."""
        record.exc_text = None  # where another formatter keeps its traceback
        return scrubbed(super().format(record))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the name is logging's
        """Return the lines of a traceback."""
        text = super().formatException(ei)
        return "\n".join(_INDENT + harmless(line) for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object on one line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        for name, value in _fields_of(record).items():
            line.setdefault(name, value if isinstance(value, int | float) else str(value))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        texts = {name: value for name, value in line.items() if isinstance(value, str)}
        together = "\n".join(texts.values())
        if scrubbed(together) != together:  # seldom: so the texts are read once, not one by one
            line |= {name: scrubbed(text) for name, text in texts.items()}
        return json.dumps(line)


def set_up_logging(level: str = "info", log_format: LogFormat = "text") -> None:
    """Log to standard error from this level on, that of uvicorn included."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    formatter = JsonFormatter() if log_format == "json" else LineFormatter()
    for handler in root.handlers:
        if isinstance(handler.formatter, LineFormatter | JsonFormatter | None):  # it is ours
            handler.setFormatter(formatter)
    root.setLevel(level.upper())
    # httpx logs each request: one line for every poll of a source that uses it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # A line for each job is for machines; people read of trouble, and of passes.
    logs_jobs = log_format == "json" or level == "debug"
    logging.getLogger(JOB_LOG).setLevel(logging.NOTSET if logs_jobs else logging.WARNING)


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the fields of a record, with the request that it was made in."""
    fields: Mapping[str, object] = getattr(record, "fields", {})
    actor = ACTOR.get()
    if actor is None or not actor.request_id:
        return fields
    return {**fields, "http_request_id": actor.request_id}


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
