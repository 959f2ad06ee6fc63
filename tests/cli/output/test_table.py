"""Columns: aligned by what letters take, cut on a terminal only, coloured on one only."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from rq_broker.cli.output import screen
from rq_broker.cli.output.columns import Column, cut
from rq_broker.cli.output.folding import folded
from rq_broker.cli.output.pairs import print_pairs
from rq_broker.cli.output.table import print_table
from rq_broker.cli.verbs.listing import table_of_jobs

COLUMNS = (
    Column("JOB", gives_way=True),
    Column("N", right=True),
    Column("REASON", gives_way=True, style=lambda _: "red"),
)
ROWS = [["虛擬機", "1", "x" * 60], ["plain\x1b[2J", "1000", "é"]]
Narrow = Callable[[int | None], None]


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Narrow:
    """Let the standard output be a terminal of so many columns, or none."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def set_columns(number: int | None) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: number is not None)
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", str(number or 80))

    return set_columns


def test_a_pipe_gets_whole_lines(columns: Narrow, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output is no terminal, nothing is cut, and columns are aligned by cells."""
    columns(None)
    print_table((COLUMNS, iter(ROWS)))
    assert capsys.readouterr().out.splitlines() == [
        f"{'JOB':12}  {'N':>4}  REASON",
        f"虛擬機{'':6}  {'1':>4}  {'x' * 60}",
        "plain\\x1b[2J  1000  é",
    ]


@pytest.mark.parametrize("number", [20, 30, 40, 200])
def test_a_terminal_gets_lines_that_fit(
    columns: Narrow, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """The widest columns give way first; no line is wider than the terminal, and none is lost."""
    columns(number)
    print_table((COLUMNS, iter(ROWS)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(cell_len(line) <= number for line in lines)
    assert ("…" in lines[1]) == (number < 200)


def test_later_rows_may_be_wider(columns: Narrow, capsys: pytest.CaptureFixture[str]) -> None:
    """A long list is printed as it comes: later rows that are wider widen the columns."""
    columns(None)
    print_table(((Column("A"), Column("B")), ([str(10**index), "b"] for index in range(600))))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 601
    assert lines[-1] == f"{10**599}  b"


def test_an_empty_table(capsys: pytest.CaptureFixture[str], columns: Narrow) -> None:
    """Without rows the titles are printed."""
    columns(None)
    print_table((COLUMNS, []))
    assert capsys.readouterr().out == "JOB  N  REASON\n"


@pytest.mark.parametrize(
    ("variables", "terminal", "coloured"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
    ],
)
def test_colours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], terminal: bool, coloured: bool
) -> None:
    """Colours are for terminals, unless NO_COLOR, FORCE_COLOR or TERM=dumb say otherwise."""
    for name, value in {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert screen.has_colours() is coloured
    assert ("\x1b[31m" in screen.styled("x", "red")) is coloured
    assert screen.styled("x", "") == "x"


def test_facts_are_folded(columns: Narrow, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal a long value is folded between words below itself; in a pipe it is one line."""
    pairs = [("a", "one two three four five six"), ("long", "虛擬機" * 8)]
    columns(26)
    print_pairs(pairs)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a     one two three four", "      five six"]
    assert all(cell_len(line) <= 26 for line in lines)
    columns(None)
    print_pairs(pairs)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert folded("", 9) == [""]


def test_a_last_column_may_fold(columns: Narrow, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal a column that folds goes on in further lines; in a pipe it is one line."""
    table = (Column("A"), Column("B", gives_way=True, folds=True)), [["a", "one two three four"]]
    columns(12)
    print_table(table)
    assert capsys.readouterr().out.splitlines() == ["A  B", "a  one two", "   three", "   four"]
    columns(None)
    print_table(table)
    assert capsys.readouterr().out.splitlines() == ["A  B", "a  one two three four"]


def test_cut() -> None:
    """What is cut ends in a sign that says so, and is never wider than its place."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert cell_len(cut("虛擬機", 4)) <= 4
    assert cut("abc", 0) == ""


REASON = "needs GPU 8 on one host of aggregate rack-1; the most free is 3 on sm-b-014"
JOB = {
    "RequestID": "train-a-large-model", "OwnerID": "vision-group", "Priority": 1795719600123457,
    "Data": '{"instances": [{"VCPU": 64, "GPU": 8}]}', "Position": 12, "Status": "queued",
    "CreatedAt": "2026-01-01T00:00:00Z", "ETA": {"p50": 780, "p90": 3900}, "Reason": REASON,
}  # fmt: skip


@pytest.mark.parametrize("number", [60, 80, 120, 200, None])
def test_a_reason_is_legible_at_every_width(
    columns: Narrow, capsys: pytest.CaptureFixture[str], number: int | None
) -> None:
    """Where little room is left the reason is whole below its row, and the priority is left out
    before the ETA is; a wide terminal, and a pipe, have all in one line."""
    columns(number)
    print_table(table_of_jobs([JOB]))
    title, row, *below = capsys.readouterr().out.splitlines()
    assert all(cell_len(line) <= (number or 999) for line in (title, row, *below))
    assert "13m–1h05m" in row
    assert ("PRIORITY" in title) == (number is None or number >= 120)
    if number is None or number >= 200:
        assert (REASON in row, below) == (True, [])
    else:
        assert "REASON" not in title
        assert " ".join(line.strip() for line in below) == REASON
