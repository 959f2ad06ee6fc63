"""Tests of the table of operations as a whole."""

from __future__ import annotations

from rq_broker.api.operations import FAMILIES, OPERATIONS


def test_no_two_families_describe_one_endpoint() -> None:
    """The table has every row of every family: none replaces one of the same name."""
    assert len(OPERATIONS) == sum(len(family) for family in FAMILIES)
