"""A file as a source: read whole or refused, and read again once it has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.sources import Misconfigured
from rq_broker.sources.file import FileSource

BENCH = """
[hosts.bench-1]
capacity = { Slots = 2, Scope = 1 }
used = { Slots = 1 }
max_unit = { Slots = 1 }
aggregates = ["basement"]

[hosts.bench-2]
capacity = { Slots = 4 }
"""


async def test_hosts_are_as_written(tmp_path: Path) -> None:
    """Every field of a host comes from its table; a field that is left out is empty."""
    path = tmp_path / "lab.toml"
    path.write_text(BENCH)
    snapshot = await FileSource(str(path)).snapshot(frozenset({"anyone"}))
    assert snapshot.hosts == (
        Host(
            "bench-1",
            {"Slots": 2, "Scope": 1},
            {"Slots": 1},
            aggregates=frozenset({"basement"}),
            max_unit={"Slots": 1},
        ),
        Host("bench-2", {"Slots": 4}),
    )
    assert snapshot.consumers == {}


async def test_an_edit_counts_from_the_next_snapshot(tmp_path: Path) -> None:
    """An edit of the same length in the same second counts; a broken file works once repaired."""
    path = tmp_path / "lab.toml"
    path.write_text(BENCH)
    source = FileSource(str(path))
    first = await source.snapshot()
    path.write_text(BENCH.replace("Slots = 4", "Slots = 9"))
    second = await source.snapshot()
    assert second.hosts[1].capacity == {"Slots": 9}
    assert second.sequence > first.sequence
    for broken in ("", "[hosts", BENCH.replace("4", "-4")):
        path.write_text(broken)
        for _ in range(2):
            with pytest.raises(Misconfigured):
                await source.snapshot()
    path.write_text(BENCH)
    assert (await source.snapshot()).hosts == first.hosts


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", r"\[hosts\]"),
        ("hosts = 3", r"\[hosts\]"),
        ("[hosts.a]\ncapacity = = 1\n", r"line 2"),
        ("[host.a]\ncapacity = { Slots = 1 }", r"host"),
        ("[hosts.a]\nused = { Slots = 1 }", r"hosts\.a: capacity"),
        ("[hosts.a]\ncapacity = { Slots = 1.5 }", r"hosts\.a: capacity\.Slots"),
        ("[hosts.a]\ncapacity = { Slots = -1 }", r"hosts\.a: capacity\.Slots"),
        ("[hosts.a]\ncapacity = { Slots = true }", r"hosts\.a: capacity\.Slots"),
        ("[hosts.a]\ncapacity = { Slots = 2020-01-01 }", r"hosts\.a: capacity\.Slots"),
        ("[hosts.a]\ncapacity = 3", r"hosts\.a: capacity"),
        ("[hosts.a]\ncapacity = {}\nmax_unit = { S = 'x' }", r"hosts\.a: max_unit\.S"),
        ("[hosts.a]\ncapacity = {}\naggregates = 'x'", r"hosts\.a: aggregates"),
        ("[hosts.a]\ncapacity = {}\naggregates = [1]", r"hosts\.a: aggregates\[0\]"),
        ("[hosts.a]\ncapacity = {}\ncolour = 'red'", r"hosts\.a: .*colour"),
        ("[hosts.'a/b']\ncapacity = {}", r"hosts\.a/b: "),
        ("[hosts]\na = 1", r"hosts\.a: "),
    ],
)
async def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    """The sentence about a mistake names the file, the host and the field."""
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=rf"lab\.toml: .*{place}"):
        await FileSource(str(path)).snapshot()


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is a failure, not an empty list of hosts."""
    with pytest.raises(Misconfigured, match=r"none\.toml: No such file"):
        await FileSource(str(tmp_path / "none.toml")).snapshot()
