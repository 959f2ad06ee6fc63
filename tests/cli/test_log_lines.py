"""Lines of the log: none can be forged, and none has a credential."""

from __future__ import annotations

import io
import logging

import pytest

from rq_broker.cli.log_lines import LineFormatter


@pytest.fixture
def written() -> tuple[logging.Logger, io.StringIO]:
    """Return a logger of its own and what it writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logger = logging.Logger("forged")
    logger.addHandler(handler)
    return logger, stream


def test_a_name_cannot_forge_a_line(written: tuple[logging.Logger, io.StringIO]) -> None:
    """Newlines, escapes of terminals and turned writing are shown as escapes, in one line."""
    logger, stream = written
    logger.warning("job %s of \xe4", "a\n2026-01-01 00:00:00,000 INFO ok\r\x1b[2J\x9b\u2028\u202e")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r"job a\n2026-01-01 00:00:00,000 INFO ok\r\x1b[2J\x9b\u2028\u202e of ä")


def test_a_traceback_cannot_forge_a_line(written: tuple[logging.Logger, io.StringIO]) -> None:
    """The lines of a traceback are indented, those within the text of its error too."""
    logger, stream = written
    try:
        raise ValueError("x\n2026-01-01 00:00:00,000 INFO ok\x1b[2J password=hunter2")
    except ValueError:
        logger.exception("failed")
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("ERROR failed")
    assert all(line.startswith("    ") for line in others)
    assert others[-1] == r"    2026-01-01 00:00:00,000 INFO ok\x1b[2J password=***"


def test_no_line_has_a_credential(written: tuple[logging.Logger, io.StringIO]) -> None:
    """Whatever a message has been made of, credentials of a known form are taken out."""
    logger, stream = written
    logger.warning("%s: %s", "redis://:s3cret@db/0", {"password": "hunter2"})
    assert stream.getvalue().endswith("redis://***@db/0: {'password': ***}\n")
