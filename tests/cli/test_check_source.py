"""`rq-broker check-source`: what a source sees, what it may not read, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rq_broker.cli import main

HOSTS = """
[hosts.bench-2]
capacity = { Slots = 3 }
[hosts.bench-1]
capacity = { Slots = 2 }
used = { Slots = 1 }
aggregates = ["gold"]
"""
OWN = """
from rq_broker.sources import Host, Refused, Source, SourceSnapshot

class Half(Source):
    async def snapshot(self, watch=frozenset()):
        return SourceSnapshot((Host("h1", {"VCPU": 1}),), unread={"the roof": "refused: no ladder"})

class Shut(Source):
    async def snapshot(self, watch=frozenset()):
        raise Refused("the door is shut; it needs the role admin")

class Closed(Source):
    async def snapshot(self, watch=frozenset()):
        out = {"h3": "disabled", "h2": "down"}
        return SourceSnapshot((Host("h1", {"VCPU": 1}),), out_of_service=out)

class Bug(Source):
    async def snapshot(self, watch=frozenset()):
        raise ZeroDivisionError("oh")
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command on a file with one table for each kind."""
    (tmp_path / "lab.toml").write_text(HOSTS)
    (tmp_path / "empty.toml").write_text("[hosts]\n")
    (tmp_path / "own_sources.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*tables: str) -> Result:
        text = "".join(f'[[source]]\ntype = "t{n}"\n{table}\n' for n, table in enumerate(tables))
        Path("sources.toml").write_text(text)
        return CliRunner().invoke(main, ["check-source", "sources.toml"])

    return run


def test_it_tells_what_it_sees(check: Callable[..., Result]) -> None:
    """Hosts, aggregates, resources and the cost of a snapshot; 0 where nothing is missing."""
    result = check('kind = "file"\npath = "lab.toml"\nname = "lab"')
    lines = result.output.splitlines()
    assert lines[:4] == [
        "source lab of type t0:",
        "  hosts: 2: bench-1, bench-2",
        "  aggregates: 1: gold (1)",
        "  resources: 1: Slots 5 (1 used)",
    ]
    assert lines[4].startswith("  cost: 0.0")
    assert lines[4].endswith("for the next; one each 10 s")
    assert (len(lines), result.exit_code) == (5, 0)


def test_it_tells_which_hosts_are_out_of_service(check: Callable[..., Result]) -> None:
    """A host that the source has and that takes no new work is named with why; nothing is wrong."""
    result = check('kind = "own_sources:Closed"')
    lines = result.output.splitlines()
    assert lines[1:3] == ["  hosts: 1: h1", "  out of service: 2: h2 (down), h3 (disabled)"]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("table", "status", "words"),
    [
        ('kind = "own_sources:Half"', 1, "  missing: the roof cannot be read: refused: no ladder"),
        ('kind = "file"\npath = "empty.toml"', 1, "  hosts: none"),
        ('kind = "own_sources:Shut"', 2, "  cannot be read (refused): the door is shut; it needs"),
        ('kind = "own_sources:Bug"', 2, "  cannot be read (failed): ZeroDivisionError: oh"),
        ('kind = "file"\npath = "none.toml"', 2, "  cannot be read (misconfigured): none.toml"),
        ('kind = "nothing"', 2, "Error: sources.toml: [[source]] number 2: source nothing"),
    ],
)
def test_the_exit_status_is_that_of_the_worst_source(
    check: Callable[..., Result], table: str, status: int, words: str
) -> None:
    """1 where something is missing, 2 where a source cannot be read; the others are read too."""
    result = check('kind = "file"\npath = "lab.toml"', table)
    assert result.exit_code == status
    assert words in result.output
    assert ("bench-1" in result.output) == (not result.output.startswith("Error"))
