"""What every source shares: the base, the registry, the order of snapshots."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.sources import (
    KINDS,
    Misconfigured,
    Source,
    SourceFailed,
    SourceSnapshot,
    open_source,
    tick,
)
from rq_broker.sources.feeds import read_feeds
from rq_broker.sources.file import FileSource
from tests.pages import block, blocks, page
from tests.sources.servers import FAULTS, Server


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


async def test_the_source_of_the_page_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The class that the page shows, put and opened as it says, counts and fails well."""
    code = block("sources", "class Benches")
    (table,) = [each for each in blocks(page("sources"), "toml") if "benches:Benches" in each]
    assert len([line for line in code.splitlines() if line]) <= 22
    (tmp_path / "benches.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "benches", raising=False)
    bookings = json.dumps([{"name": "b1", "seats": 2, "taken": 1}]).encode()
    server = Server(lambda *_: (200, {}, bookings))
    try:
        config = tmp_path / "sources.toml"
        config.write_text(table.replace("http://127.0.0.1:9000", server.url))
        (feed,) = read_feeds(str(config))
        assert (feed.type, feed.name) == ("lab", "benches:Benches")
        assert (await feed.source.snapshot()).hosts == (Host("b1", {"Slots": 2}, {"Slots": 1}),)
        for fault in ("reset", "500", "not json", "another shape"):
            server.fault = fault
            with pytest.raises(SourceFailed) as failed:
                await feed.source.snapshot()
            assert failed.value.cause == FAULTS[fault]
    finally:
        server.stop()


def test_the_placement_table_of_the_page_names_keys_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The example of an OpenStack source opens, given a cloud of that name."""
    clouds = {"auth_type": "admin_token", "auth": {"endpoint": "http://127.0.0.1:9", "token": "x"}}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"lab": clouds}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "sources.toml").write_text(blocks(page("sources"), "toml")[0])
    (feed,) = read_feeds(str(tmp_path / "sources.toml"))
    assert (feed.type, feed.name, feed.interval) == ("vm", "lab", 10.0)
