"""How a source is found by its kind, and how the examples of the documentation open."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from standins.http_servers import FAULTS, Server

from rq_broker import sources
from rq_broker.domain.capacity import Host
from rq_broker.sources import Misconfigured, Source, SourceFailed, SourceSnapshot, open_source
from rq_broker.sources.feeds import read_feeds
from rq_broker.sources.file import FileSource
from rq_broker.sources.kinds import KINDS
from tests.pages import block, blocks, page


class Bench(Source):
    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        return SourceSnapshot((Host("bench", {"Slots": self.slots - len(watch)}),))


class Lenient(Bench):
    def __init__(self, slots: int, **others: str) -> None:
        super().__init__(slots + len(others))


async def test_a_table_opens_a_built_in_source(tmp_path: Path) -> None:
    """A built-in kind is found by its name, and the other keys are arguments of its constructor."""
    source = open_source({"kind": "file", "path": str(tmp_path / "lab.toml")})
    assert isinstance(source, FileSource)
    assert source.path == tmp_path / "lab.toml"


async def test_a_table_opens_a_source_outside_the_package() -> None:
    """A class is found by module and name, and needs one method."""
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
        ({"kind": "file"}, "source file: the key path is required$"),
        ({"kind": f"{__name__}:Lenient", "colour": "red"}, "the key slots is required$"),
        ({"kind": "file", "path": "x", "type": "vm"}, "unexpected keyword argument 'type'"),
        (
            {"kind": "file", "pth": "x"},
            "source file: the key pth is not known; known are type, kind, interval, name, path$",
        ),
        ({"kind": "placement", "cloud": "unheard-of"}, "unheard-of"),
    ],
)
def test_a_mistake_in_a_table_is_named(table: dict[str, object], words: str) -> None:
    """The sentence about a table that opens nothing names the wrong word."""
    with pytest.raises(Misconfigured, match=words):
        open_source(table)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a kind whose library is not installed the sentence says what to install."""
    monkeypatch.setitem(KINDS, "kube", "no_such_library:KubeSource")
    with pytest.raises(Misconfigured, match=r"rq-broker\[kube\]"):
        open_source({"kind": "kube"})


def test_a_module_that_python_does_not_find_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names PYTHONPATH and the directories that were searched."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/no/such/directory", ""])
    with pytest.raises(Misconfigured) as failed:
        open_source({"kind": "benches_of_nobody:Benches"})
    sentence = str(failed.value)
    assert "No module named 'benches_of_nobody'" in sentence
    assert "add its directory to PYTHONPATH" in sentence
    assert sentence.endswith(f"Python searched {tmp_path}, .")


def test_a_module_that_lacks_another_one_names_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that is found, and imports a library that is not installed, needs no PYTHONPATH."""
    (tmp_path / "lacking.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Misconfigured, match=r"No module named 'no_such_library'$"):
        open_source({"kind": "lacking:Benches"})


def test_the_package_exports_all_that_a_source_needs() -> None:
    """A source outside the package imports from rq_broker.sources only."""
    code = block("sources", "class Benches")
    imported = re.findall(r"^from (rq_broker[\w.]*) import (.+)$", code, re.M)
    assert [module for module, _ in imported] == ["rq_broker.sources"]
    assert set(imported[0][1].split(", ")) <= set(sources.__all__)


async def test_the_source_of_the_page_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class on the page, installed and opened as it says, reports hosts and its failures."""
    code = block("sources", "class Benches")
    (table,) = [toml for toml in blocks(page("sources"), "toml") if "lab_benches:Benches" in toml]
    assert len([line for line in code.splitlines() if line]) <= 22
    (tmp_path / "lab_benches.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lab_benches", raising=False)
    bookings = json.dumps([{"name": "b1", "seats": 2, "taken": 1}]).encode()
    server = Server(lambda *_: (200, {}, bookings))
    try:
        config = tmp_path / "sources.toml"
        config.write_text(table.replace("http://127.0.0.1:9000", server.url))
        (feed,) = read_feeds(str(config))
        assert (feed.type, feed.name) == ("lab", "lab_benches:Benches")
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
) -> None:
    """The example of an OpenStack source opens if there is a cloud of that name."""
    clouds = {"auth_type": "admin_token", "auth": {"endpoint": "http://127.0.0.1:9", "token": "x"}}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"lab": clouds}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "sources.toml").write_text(blocks(page("sources"), "toml")[0])
    (feed,) = read_feeds(str(tmp_path / "sources.toml"))
    assert (feed.type, feed.name, feed.interval) == ("vm", "lab", 10.0)
