"""packing/host_tables.py: a pass leaves the tables that it was given as they were."""

from __future__ import annotations

import pytest

from rq_broker.planner import HostTables, plan, tables_of
from tests.planner.oracle import random_snapshot


@pytest.mark.parametrize("seed", range(20))
def test_kept_tables_change_no_plan(seed: int) -> None:
    """Passes over the same hosts decide the same with tables that earlier passes used."""
    snapshot = random_snapshot(seed, 4, 5)
    expected, tables = plan(snapshot), HostTables(snapshot.hosts)
    for _ in range(3):
        planned = plan(snapshot, tables)
        assert planned.grants == expected.grants
        assert planned.passed == expected.passed
        assert planned.promises == expected.promises
        assert dict(planned.reasons) == dict(expected.reasons)


def test_tables_are_kept_for_the_very_same_hosts() -> None:
    """Other hosts have other tables, even where they are equal: nobody compares thousands."""
    hosts = random_snapshot(1, 4, 5).hosts
    tables = tables_of(hosts, None)
    assert tables_of(hosts, tables) is tables
    assert tables_of(dict(hosts), tables) is not tables
