"""The names that a path may have."""

from __future__ import annotations

import pytest

from rq_broker.api import paths
from rq_broker.domain.errors import Invalid


@pytest.mark.parametrize(
    "name", ["vm", "虛擬機", "a b", "100%", "a" * 64, "機" * 21, "a:b", "a\ufffd"]
)
def test_types_are_any_string(name: str) -> None:
    """Letters of any script, spaces and percent signs make a type."""
    assert paths.type_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a/b", "{", "a}", "a\x1f", "\x7f", "a" * 65, "機" * 22, ".", ".."]
)
def test_types_that_are_refused(name: str) -> None:
    """Separators, control characters and over-long names make none, cached or not."""
    for _ in range(2):
        with pytest.raises(Invalid, match="type"):
            paths.type_name(name)
