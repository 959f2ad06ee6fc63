"""What a job needs, in the words of people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rq_broker.cli.output.need import amounts, need_of


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"instances": [{"Memory": 32768, "VCPU": 8, "count": 4}]}, "4 × VCPU 8, 32 GB"),
        ({"instances": [{"VCPU": 1}, {"VCPU": 1}, {"GPU": 2}]}, "2 × VCPU 1 + GPU 2"),
        ({"instances": [{"VCPU": 1, "count": {"min": 2, "max": 8}}]}, "2–8 × VCPU 1"),
        ({"instances": [{"VCPU": 1}], "host_aggregate": "a"}, "VCPU 1 in a"),
        ({"instances": [{"VCPU": 1}], "any_aggregate": ["a", "b"]}, "VCPU 1 in a or b"),
        (
            {"instances": [{"VCPU": 1, "forbid": ["HDD"]}], "require": ["SSD", "X"]},
            "VCPU 1 without HDD with SSD, X",
        ),
        ({"instances": [{"VCPU": 1, "count": 3}], "spread": True}, "3 × VCPU 1 spread"),
        (
            {"instances": [{"A100": 8}], "alternatives": [{"instances": [{"H100": 4}]}]},
            "A100 8 or H100 4",
        ),
        ({}, "Slots 1"),
        ({"instances": [{"require": 2}]}, "require 2"),
    ],
)
def test_need(data: dict[str, Any], words: str) -> None:
    """Equal instances are counted, sizes have their units, conditions and alternatives follow."""
    assert need_of({"Data": json.dumps(data)}) == words


@pytest.mark.parametrize("data", ["", "[]", "{", None, "1"])
def test_no_need(data: str | None) -> None:
    """Data that the caller may not read, or that is no object, is a dash."""
    assert need_of({"Data": data}) == "-"


def test_amounts() -> None:
    """Amounts in megabytes and gigabytes are called by their size, of devices each is named."""
    assert amounts({"Disk": 100, "Memory": 512, "VCPU": 4}) == "VCPU 4, 512 MB, Disk 100 GB"
    assert amounts({"GPU": [1000, 0], "Memory": 1536}) == "GPU 1000 + 0, 1.5 GB"
    assert amounts({}) == "nothing"
