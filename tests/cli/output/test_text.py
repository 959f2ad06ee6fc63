"""Spans and times as people read them, and text that cannot move a cursor."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from rq_broker.cli.output.text import age, harmless, harmless_json, span, visible


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (0.4, "0s"),
        (59.6, "1m"),
        (61, "1m01s"),
        (599, "9m59s"),
        (600, "10m"),
        (3600, "1h"),
        (7500, "2h05m"),
        (86399, "23h"),
        (86400 * 4 + 3600, "4d01h"),
        (86400 * 400, "400d"),
    ],
)
def test_span(seconds: float, words: str) -> None:
    """A span has its two largest units, or one where that is exact enough."""
    assert span(seconds) == words


def test_age() -> None:
    """The age of a time of the API is a span; a clock that is behind counts as none."""
    now = datetime(2026, 1, 1, 0, 2, tzinfo=UTC)
    assert age("2026-01-01T00:00:00.000000Z", now) == "2m"
    assert age("2026-01-01T00:03:00.000000Z", now) == "0s"


def test_nothing_in_a_name_moves_the_cursor() -> None:
    """Control characters, C1 ones and turns of the direction are escaped, letters are not."""
    name = "a\x1b[31m\n\x9b\u202e虛擬機"
    assert harmless(name) == "a\\x1b[31m\\n\\x9b\\u202e虛擬機"
    assert harmless("\udcff") == "\\udcff"  # a byte of a file's name that is no text
    text = json.dumps({"name": name}, ensure_ascii=False)
    assert json.loads(harmless_json(text)) == {"name": name}
    assert harmless_json(text).isprintable()


def test_no_two_names_look_the_same() -> None:
    """What nobody sees in a name is quoted or escaped; a plain one is as it is."""
    for plain in ("build-1", "虛擬機", "\u00e9", "a b"):
        assert visible(plain) == plain
    assert [visible(name) for name in (" ", "a ", "")] == ['" "', '"a "', '""']
    assert visible("\u202eabc") == "\\u202eabc"
    assert visible("a\u200bb") == "a\\u200bb"
    assert visible("e\u0301") == "e\\u0301"
