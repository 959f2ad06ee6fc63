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
traits = ["QUIET"]

[hosts.bench-2]
capacity = { Slots = 4 }

[hosts.licences]
capacity = { matlab = 5 }
anywhere = true
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
            traits=frozenset({"QUIET"}),
        ),
        Host("bench-2", {"Slots": 4}),
        Host("licences", {"matlab": 5}, anywhere=True),
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
    for broken in ("", "[hosts", "[hosts.a"):
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
    ],
)
async def test_a_mistake_in_the_whole_is_named(tmp_path: Path, text: str, place: str) -> None:
    """A file in which no host can be found fails; the sentence names the file and the place."""
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=rf"lab\.toml: .*{place}"):
        await FileSource(str(path)).snapshot()


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("used = { Slots = 1 }", "capacity"),
        ("capacity = { Slots = 1.5 }", "capacity.Slots"),
        ("capacity = { Slots = nan }", "capacity.Slots"),
        ("capacity = { Slots = -1 }", "capacity.Slots"),
        ("capacity = { Slots = '4' }", "capacity.Slots"),
        ("capacity = { Slots = true }", "capacity.Slots"),
        ("capacity = { Slots = 2020-01-01 }", "capacity.Slots"),
        ("capacity = 3", "capacity"),
        ("capacity = {}\nmax_unit = { S = 'x' }", "max_unit.S"),
        ("capacity = {}\naggregates = 'x'", "aggregates"),
        ("capacity = {}\naggregates = [1]", "aggregates[0]"),
        ("capacity = {}\ncolour = 'red'", "colour"),
    ],
)
async def test_a_mistake_in_one_host_leaves_the_others(
    tmp_path: Path, table: str, field: str
) -> None:
    """A host with a mistake is bad, with the field named; the other hosts of the file are good."""
    path = tmp_path / "lab.toml"
    path.write_text(f"[hosts.a]\n{table}\n{BENCH}")
    snapshot = await FileSource(str(path)).snapshot()
    assert [host.name for host in snapshot.hosts] == ["bench-1", "bench-2", "licences"]
    assert snapshot.bad_hosts.keys() == {"a"}
    assert field in snapshot.bad_hosts["a"]


async def test_a_host_that_is_no_table_is_bad(tmp_path: Path) -> None:
    """What stands in the place of a host's table is named with the host."""
    path = tmp_path / "lab.toml"
    path.write_text("[hosts]\na = 1\n[hosts.'b/c']\ncapacity = {}\n")
    snapshot = await FileSource(str(path)).snapshot()
    assert snapshot.bad_hosts.keys() == {"a", "b/c"}


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is a failure, not an empty list of hosts."""
    with pytest.raises(Misconfigured, match=r"none\.toml: No such file"):
        await FileSource(str(tmp_path / "none.toml")).snapshot()
