"""Lines of the log: none can be forged, and none has a credential, in text as in JSON."""

from __future__ import annotations

import io
import json
import logging

import pytest

from rq_broker.cli.log_lines import JsonFormatter, LineFormatter, LogFormat, set_up_logging
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.job_log import JOB_LOG, log_job, logs_jobs


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


@pytest.fixture
def json_lines(
    written: tuple[logging.Logger, io.StringIO],
) -> tuple[logging.Logger, io.StringIO]:
    """Return a logger of its own that writes JSON."""
    written[0].handlers[0].setFormatter(JsonFormatter())
    return written


def test_each_record_is_one_json_object(json_lines: tuple[logging.Logger, io.StringIO]) -> None:
    """Whatever a client names, and whatever a traceback holds, a record is one line of ASCII."""
    logger, stream = json_lines
    name = 'a\n{"level": "info"}\r\u2028\x1b[2J\udcff"'
    try:
        raise ValueError(f"{name} password=hunter2")
    except ValueError:
        logger.exception("job %s", name, extra={"fields": {"request_id": name, "fence": 7}})
    (text,) = stream.getvalue().splitlines()
    assert text.isascii()
    line = json.loads(text)
    assert (line["level"], line["message"]) == ("error", f"job {name}")
    assert (line["request_id"], line["fence"]) == (name, 7)
    assert line["time"].endswith("Z")
    assert "ValueError" in line["exception"]
    assert "hunter2" not in text


def test_no_json_line_has_a_credential(json_lines: tuple[logging.Logger, io.StringIO]) -> None:
    """Credentials are taken out of messages and of fields, and no field replaces the message."""
    logger, stream = json_lines
    fields = {"destination": "http://me:s3cret@x", "message": "forged", "id": 1}
    logger.warning("to %s", "redis://:s3cret@db/0", extra={"fields": fields})
    line = json.loads(stream.getvalue())
    assert line["message"] == "to redis://***@db/0"
    assert (line["destination"], line["id"]) == ("http://***@x", 1)


def test_a_line_names_the_request_that_it_was_written_in(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    """Fields follow the message, quoted where they have to be, with the ID of the request."""
    logger, stream = written
    token = ACTOR.set(Actor("anyone", "127.0.0.1", "r-1"))
    try:
        logger.warning("granted", extra={"fields": {"type": "v m", "fence": 7, "error": "x=1\n"}})
    finally:
        ACTOR.reset(token)
    end = r'WARNING granted type="v m" fence=7 error="x=1\n" http_request_id=r-1'
    assert stream.getvalue().endswith(f"{end}\n")


@pytest.mark.parametrize(
    ("log_format", "level", "is_on"),
    [
        ("text", "info", False),
        ("text", "debug", True),
        ("json", "info", True),
        ("json", "warning", False),
    ],
)
def test_lines_of_single_jobs_are_for_machines(
    log_format: LogFormat,
    level: str,
    is_on: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """JSON has them at level info, text only where somebody looks for every detail."""
    root, jobs = logging.getLogger(), logging.getLogger(JOB_LOG)
    for logger in (root, jobs):
        monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.setattr(root, "handlers", [caplog.handler, logging.StreamHandler(io.StringIO())])
    set_up_logging(level, log_format)
    assert logs_jobs() is is_on
    if is_on:
        log_job("job.granted", "vm", "lab/d", fence=7, hosts="")
        fields = vars(caplog.records[-1])["fields"]
        assert fields == {"type": "vm", "request_id": "d", "fence": 7}
