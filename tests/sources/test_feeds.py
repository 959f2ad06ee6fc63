"""Which sources feed which types, as the operator's file has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rq_broker.domain.errors import Invalid
from rq_broker.sources.feeds import read_feeds
from rq_broker.sources.file import FileSource

GOOD = """
[[source]]
type = "lab"
kind = "file"
path = "lab.toml"

[[source]]
type = "lab"
kind = "file"
name = "licences"
interval = 0.5
path = "licences.toml"
"""


def test_each_table_is_a_feed(tmp_path: Path) -> None:
    """A feed has its table's type, interval and name, or the kind as its name."""
    path = tmp_path / "sources.toml"
    path.write_text(GOOD)
    feeds = read_feeds(str(path))
    assert [(feed.type, feed.name, feed.interval) for feed in feeds] == [
        ("lab", "file", 10.0),
        ("lab", "licences", 0.5),
    ]
    assert isinstance(feeds[1].source, FileSource)
    assert feeds[1].source.path == Path("licences.toml")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ((GOOD, ""), r"no \[\[source\]\]"),
        ((GOOD, "source = 3"), r"no \[\[source\]\]"),
        (("[[source]]", "[[sources]]"), r"sources"),
        (("[[source]]", "[[source]"), r"line 2"),
        ((GOOD, "a = " + "[" * 5000), r"recursion"),
        (('type = "lab"\n', ""), r"number 1: type is required"),
        (('type = "lab"', 'type = "a/b"'), r"number 1: type must not contain"),
        (('kind = "file"\n', ""), r"number 1: name"),
        (('kind = "file"', 'kind = "fil"'), r"number 1: source fil"),
        (('name = "licences"', 'name = "file"'), r"number 2: type lab has a file already"),
        (("interval = 0.5", "interval = 0"), r"number 2: interval"),
        (("interval = 0.5", "interval = true"), r"number 2: interval"),
        (("interval = 0.5", "speed = 3"), r"number 2: source file: .*speed"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], place: str
) -> None:
    """The sentence about a mistake says in which table of which file it is."""
    path = tmp_path / "sources.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(Invalid, match=rf"sources\.toml: .*{place}"):
        read_feeds(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is reported as the operator's mistake."""
    with pytest.raises(Invalid, match="No such file"):
        read_feeds(str(tmp_path / "none.toml"))
