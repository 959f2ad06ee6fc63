"""The screen of `rq-broker top`: what fits on it, and which type it shows."""

from __future__ import annotations

import json
import threading
from typing import Any

from rich.console import Console

from rq_broker.cli.verbs.live import Reader, _drawn, _neighbour
from rq_broker.cli.verbs.top import Look
from rq_broker.domain.jobs import Status
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run

COUNTS = dict.fromkeys(("queued", "granted", "running", "done", "error"), 1)
JOB: dict[str, Any] = {
    "RequestID": "j\x1b[2J", "OwnerID": "虛擬機", "Data": "{}", "Priority": 1, "Position": 1,
    "Status": "queued", "CreatedAt": "2026-01-01T00:00:00Z", "UpdatedAt": "2026-01-01T00:00:00Z",
}  # fmt: skip


def look(type_: str = "b", jobs: int = 1) -> Look:
    types = dict.fromkeys("abc", COUNTS)
    return Look(type_, types, [JOB] * jobs, (), ())


def lines(reader: Any, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(_drawn(console, reader))
    return capture.get().splitlines()


class Shown:
    """A reader that has looked once."""

    def __init__(self, seen: Look | None, trouble: str = "") -> None:
        self.look = seen
        self.trouble = trouble


def test_the_screen_holds_what_fits() -> None:
    """However many jobs there are, the screen is full and no more; the rest is counted."""
    for jobs in (0, 1, 5, 100):
        for height in (12, 24, 50):
            assert len(lines(Shown(look(jobs=jobs)), height=height)) <= height
    shown = lines(Shown(look(jobs=100)))
    assert any(line.startswith("Queue: ") and line.rstrip().endswith(" of 100") for line in shown)
    assert not any("\x1b" in line for line in shown)


def test_ended_jobs_hide_no_others(run: Run, api: Served, type_: str) -> None:
    """Waiting jobs come first, then those that hold capacity; ended ones are counted only."""
    for status in (Status.DONE, Status.ERROR, Status.RUNNING, Status.QUEUED):
        api.run(making.bring(api.broker, status, f"is-{status}", type_=type_))
    shown = json.loads(run("top", type_, "--json").stdout)
    assert [job["RequestID"] for job in shown["jobs"]] == ["is-queued", "is-running"]
    assert "Reason" in shown["jobs"][0]
    assert shown["types"][type_]["done"] == 1


def test_trouble_is_shown_below_the_last_look() -> None:
    """While the broker is away the last look stays, and the last line says what is wrong."""
    shown = lines(Shown(look(), "no answer\n"))
    assert shown[-1] == "no answer\\n"
    assert any("虛擬機" in line for line in shown)
    assert lines(Shown(None, "no answer"))[-1] == "no answer"
    assert lines(Shown(None))[-1].startswith("q quits")


def test_the_next_and_the_previous_type() -> None:
    """The types follow each other in a circle; from one that is gone it goes on at an end."""
    assert [_neighbour(look(name), 1) for name in "abc"] == ["b", "c", "a"]
    assert [_neighbour(look(name), -1) for name in "abc"] == ["c", "a", "b"]
    assert (_neighbour(look("x"), 1), _neighbour(look("x"), -1)) == ("a", "a")
    assert _neighbour(Look("x", {}, (), (), ()), 1) == "x"


def test_the_reader_goes_on_after_trouble() -> None:
    """A look that fails is told, and the next one may succeed, of the type that was asked for."""
    asked: list[str | None] = []
    looked = threading.Semaphore(0)

    def read(type_: str | None) -> Look:
        asked.append(type_)
        looked.release()
        if len(asked) == 1:
            raise OSError("gone")
        return look(type_ or "")

    reader = Reader(read, "a", interval=30)
    assert looked.acquire(timeout=30)
    reader.show("c")
    assert looked.acquire(timeout=30)
    assert asked[0] == "a"
    assert asked[1] == "c"
