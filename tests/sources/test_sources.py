"""What every source shares: the base, the registry, the order of snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from rq_broker.models import Host
from rq_broker.sources import (
    KINDS,
    Misconfigured,
    Source,
    SourceFailed,
    SourceSnapshot,
    open_source,
    tick,
)
from rq_broker.sources.file import FileSource


class Bench(Source):
    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        return SourceSnapshot((Host("bench", {"Slots": self.slots - len(watch)}),))


async def test_table_opens_a_built_in_source(tmp_path: Path):
    """A kind of ours is found by its word, and the other keys reach its constructor."""
    source = open_source({"kind": "file", "path": str(tmp_path / "lab.toml")})
    assert isinstance(source, FileSource)
    assert source.path == tmp_path / "lab.toml"


async def test_table_opens_anybodys_source():
    """A class outside the package is found by module and name, and needs one method."""
    source = open_source({"kind": f"{__name__}:Bench", "slots": 3})
    assert (await source.snapshot()).hosts == (Host("bench", {"Slots": 3}),)
    await source.close()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "kind"),
        ({"kind": 3}, "kind"),
        ({"kind": "magic"}, "magic"),
        ({"kind": "no.such:Thing"}, "no.such"),
        ({"kind": f"{__name__}:Nothing"}, "Nothing"),
        ({"kind": "pathlib:Path"}, "Path is not a subclass"),
        ({"kind": "file"}, "path"),
        ({"kind": "file", "path": "x", "colour": "red"}, "colour"),
        ({"kind": "placement", "cloud": "unheard-of"}, "unheard-of"),
    ],
)
def test_mistake_in_a_table_is_named(table: dict[str, object], words: str):
    """A table that opens nothing says which word is wrong."""
    with pytest.raises(Misconfigured, match=words):
        open_source(table)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """A kind whose library is not installed says what to install."""
    monkeypatch.setitem(KINDS, "kube", "no_such_library:KubeSource")
    with pytest.raises(Misconfigured, match=r"rq-broker\[kube\]"):
        open_source({"kind": "kube"})


def test_numbers_grow_however_fast_they_are_drawn():
    """Two snapshots of one microsecond still have an order."""
    numbers = [tick() for _ in range(1000)]
    assert numbers == sorted(set(numbers))


def test_every_failure_names_its_cause():
    """No two classes of failure share a cause, for metrics tell them apart by it."""
    found = [SourceFailed]
    for one in found:
        found.extend(one.__subclasses__())
    assert len({one.cause for one in found}) == len(found) == 6
